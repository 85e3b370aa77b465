/* Sortable tables, paged and filtered where they are long.

   A table stands in <div data-table data-page="ROWS">, as parts.html.j2 writes it. Headings with
   data-sort="number|text" become buttons; a cell's data-value is sorted by where it has one, else its text.
   Empty values come last in either direction. More than ROWS rows are shown page by page, and a box filters
   them by any text in a row. Without scripts the whole table is there. */
"use strict";
(() => {
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  const valueOf = (row, column, numeric) => {
    const cell = row.cells[column];
    const text = (cell.dataset.value ?? cell.textContent).trim();
    if (text === "") return null;
    if (!numeric) return text.toLocaleLowerCase();
    const number = Number(text);
    return Number.isNaN(number) ? null : number;
  };

  function enhance(box) {
    const table = box.querySelector("table"), body = table.tBodies[0];
    const headings = [...table.tHead.rows[0].cells];
    const rows = [...body.rows], size = Number(box.dataset.page);
    const texts = rows.map((row) => row.textContent.toLocaleLowerCase());
    const at = new Map(rows.map((row, index) => [row, index]));
    let order = rows, wanted = "", page = 0;

    const back = element("button", { type: "button", textContent: "Previous" });
    const next = element("button", { type: "button", textContent: "Next" });
    const told = element("span");
    told.setAttribute("role", "status");

    function show() {
      const kept = order.filter((row) => texts[at.get(row)].includes(wanted));
      const pages = Math.max(1, Math.ceil(kept.length / size));
      page = Math.min(page, pages - 1);
      const first = page * size, last = Math.min(first + size, kept.length);
      body.replaceChildren(...kept.slice(first, last));
      told.textContent = kept.length ? `${first + 1} to ${last} of ${kept.length}` : "none";
      back.disabled = page === 0;
      next.disabled = page === pages - 1;
    }

    function sort(heading) {
      const column = headings.indexOf(heading), numeric = heading.dataset.sort === "number";
      const now = heading.getAttribute("aria-sort");
      const up = now === null ? !numeric || heading.dataset.first === "up" : now === "descending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const keyed = rows.map((row) => [valueOf(row, column, numeric), row]);
      const compare = numeric ? (a, b) => a - b : new Intl.Collator(undefined, { numeric: true }).compare;
      keyed.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return up ? compare(a, b) : compare(b, a);
      });
      order = keyed.map(([, row]) => row);
      page = 0;
      show();
    }

    for (const heading of headings.filter((cell) => cell.dataset.sort)) {
      const button = element("button", { type: "button" }, ...heading.childNodes);
      heading.replaceChildren(button);
      button.addEventListener("click", () => sort(heading));
    }
    if (rows.length > size) {
      const filter = element("input", { type: "search", placeholder: "Filter rows" });
      filter.setAttribute("aria-label", "Filter rows");
      filter.addEventListener("input", () => {
        wanted = filter.value.trim().toLocaleLowerCase();
        page = 0;
        show();
      });
      back.addEventListener("click", () => { page -= 1; show(); });
      next.addEventListener("click", () => { page += 1; show(); });
      box.before(element("div", { className: "bar" }, filter, back, next, told));
      show();
    }
  }

  document.querySelectorAll("[data-table]").forEach(enhance);
})();
