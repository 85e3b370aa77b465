// Every action by its name in keys.js, when it may be done, and the keyboard.

import { choose, fade, fields, resize, status, whole } from "./beside.js";
import * as desk from "./desk.js";
import { actionOf } from "./keys.js";
import { say } from "./panel.js";
import { mark, next, save } from "./scans.js";
import { now, view } from "./state.js";
import { draw, interpolate, model, move, swapped, touch } from "./strokes.js";
import { again } from "./training.js";
import { VIEWS } from "./view.js";

const $ = id => document.getElementById(id);

export const TOOLS = ["brush", "eraser", "threshold", "fill", "look"];

const ACTIONS = {
  save: () => save(false), part: () => save(true), next, skip: () => mark("skip"), flag: () => mark("flag"),
  interpolate, model, window: () => { view.usualWindow(); fields(); },
  undo: () => swapped(now.drawing.undo()), redo: () => swapped(now.drawing.redo()),
  smaller: () => resize(now.size - 1), larger: () => resize(now.size + 1),
  hide: () => { now.hidden = !now.hidden; view.opacity(now.hidden ? 0 : now.opacity); status(); },
  fainter: () => fade(now.opacity - 0.1), stronger: () => fade(now.opacity + 0.1),
  view: () => { if (now.facts.dims === 3) view.view((view.shown + 1) % VIEWS.length); status(); },
  plane: () => { if (now.facts.dims === 3) now.axis = (now.axis + 2) % 3; view.choose(now.axis); status(); },
  nearer: () => view.planes.zoomBy(1.25, null), farther: () => view.planes.zoomBy(0.8, null),
  whole: () => { if (!now.about.classes.find(row => row.number === now.value)?.ignore) whole(now.value); },
  mark: () => draw(() => now.drawing.draws(now.axis, view.crosshair[now.axis])),
  use: () => draw(() => touch(view.crosshair, now.axis)),
  pen: () => { now.pen = !now.pen; status(); },
  train: () => again(), halt: () => desk.halt().catch(error => say(error.message)),
  help: () => $("help").showModal(),
};
for (const tool of TOOLS) ACTIONS[tool] = () => { now.tool = tool; status(); };
const NEED_NO_SCAN = ["next", "train", "halt", "help", ...TOOLS];
const ONLY_LOOK = ["window", "view", "plane", "nearer", "farther", "hide", "fainter", "stronger", "smaller", "larger", "skip", "flag"];

/** Whether there is what an action needs; while the page is at work nothing is drawn. */
const possible = name => NEED_NO_SCAN.includes(name) || (ONLY_LOOK.includes(name) ? now.facts !== null : now.drawing !== null && !now.busy);

export function act(action) {
  if (action.number !== undefined) {
    if (action.number === 0) now.tool = "eraser";
    else if (action.number <= now.about.classes.length) choose(action.number);
    status();
  } else if (action.move) {
    if (now.facts) move(action.move);
  } else if (possible(action.name)) {
    ACTIONS[action.name]();
  }
}

export function key(event) {
  const place = event.target;
  if ($("help").open || (place.matches("input:not([type=range]):not([type=checkbox]), select, textarea") && event.key !== "Escape")) return;
  if (place.matches("button, input") && ["Enter", " "].includes(event.key)) return;
  if (place.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  act(action);
}
