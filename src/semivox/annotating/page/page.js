// The page: its parts are connected, and a scan is opened.

import { TOOLS, act, key } from "./actions.js";
import { fade, fields, resize, status } from "./beside.js";
import * as desk from "./desk.js";
import { KEYS, label } from "./keys.js";
import { say } from "./panel.js";
import { follow } from "./pointer.js";
import { open, voxels, whileBusy } from "./scans.js";
import { now, unsaved, view } from "./state.js";
import { POINTER, move } from "./strokes.js";
import { watch } from "./training.js";

const $ = id => document.getElementById(id);
const STAY_SECONDS = 60, IDLE_SECONDS = 60;

function connect() {
  $("tools").replaceChildren(...TOOLS.map(tool => Object.assign(document.createElement("button"), { type: "button" })));
  [...$("tools").children].forEach((button, i) => { button.dataset.do = button.dataset.tool = TOOLS[i]; });
  label(document);
  document.addEventListener("click", event => {
    const name = event.target.closest("button[data-do]")?.dataset.do;
    if (name && KEYS.some(row => row[0] === name)) {
      act({ name });
      if (name !== "help") $("viewer").focus();
    }
  });
  document.addEventListener("keydown", key, true);
  follow($("viewer"), POINTER);
  for (const kind of ["keydown", "pointermove", "wheel"]) window.addEventListener(kind, () => { now.active = Date.now(); }, { passive: true });
  $("size").addEventListener("input", e => resize(Number(e.target.value)));
  $("tolerance").addEventListener("input", status);
  $("opacity").addEventListener("input", e => fade(e.target.value / 100));
  for (const id of ["low", "high"]) $(id).addEventListener("change", () => { view.window = [Number($("low").value), Number($("high").value)]; });
  $("channel").addEventListener("change", event => whileBusy("", async () => {
    now.channel = Number(event.target.value);
    view.channel(now.channel);
    await voxels();
    fields();
  }));
  $("slice").addEventListener("input", event => move([2, event.target.value - 1 - view.crosshair[now.axis]]));
  $("reader").addEventListener("change", e => desk.setReader(e.target.value));
  window.addEventListener("beforeunload", event => { if (unsaved()) event.preventDefault(); });
  window.addEventListener("pagehide", desk.leave);
  setInterval(() => {
    if (document.visibilityState === "visible" && Date.now() - now.active < 1000 * IDLE_SECONDS) now.seconds++;
  }, 1000);
  setInterval(() => { if (now.facts) desk.stay(now.facts.case).catch(error => say(error.message)); }, 1000 * STAY_SECONDS);
  setInterval(watch, 2000);
  view.moved = status;
  view.failed = error => say(error.message);
}

async function begin() {
  connect();
  now.about = await desk.about();
  $("reader").value = desk.readerName() || now.about.reader;
  if (!desk.readerName()) desk.setReader(now.about.reader);
  status();
  watch();
  const asked = new URLSearchParams(location.hash.slice(1)).get("scan");
  await open(() => asked ? desk.open(asked) : desk.next([]));
}

begin().catch(error => say(error.message));
window.semivox = { now, view };  // for the browser's console
