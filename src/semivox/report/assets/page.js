/* On a narrow screen the contents stand above the page, and wait closed. */
"use strict";
(() => {
  const contents = document.querySelector(".contents details");
  if (contents && matchMedia("(max-width: 62rem)").matches) contents.open = false;
})();
