// The page: a scan is opened, looked at, drawn on and saved.

import * as desk from "./desk.js";
import { Drawing } from "./drawing.js";
import { KEYS, actionOf, label } from "./keys.js";
import { follow } from "./pointer.js";
import { say, showClasses, showScans, showTraining } from "./panel.js";
import { VIEWS, View } from "./view.js";

const $ = id => document.getElementById(id);
const TOOLS = ["brush", "eraser", "threshold", "fill", "look"];
const STAY_SECONDS = 60, IDLE_SECONDS = 60;
const LARGE = 2 ** 23;  // voxels, from which on a slice is shown before the rest is there

const view = new View($("stage"));
const now = {
  about: null, facts: null, drawing: null, saved: 0, tool: "brush", value: 1, size: 4, axis: 2, pen: false,
  seconds: 0, active: 0, hidden: false, whole: new Set(), opacity: 0.45, busy: false, passed: [],
};

// ---- scans

async function open(asked) {
  if (now.busy) { say("One moment: the page is at work.", true); return; }
  if (!mayLeave()) return;
  await whileBusy("reading the scan …", async () => {
    const facts = await asked();
    if (!facts) {
      say("Every scan that is offered has a label or is open elsewhere. Choose one from the list to look at it.", true);
      await list();
      return;
    }
    Object.assign(now, { facts, drawing: null, saved: 0, seconds: 0, channel: 0, whole: new Set(facts.whole), axis: facts.dims === 2 ? 2 : 2 - facts.plane, from: null });
    view.expect(facts, now.about.classes);
    view.opacity(now.hidden ? 0 : now.opacity);
    view.choose(now.axis);
    fields();
    status();
    await voxels();
    $("wait").textContent = facts.version ? "reading the label …" : "asking the model …";
    const { mask, fault } = await firstMask(facts);
    now.drawing = new Drawing(facts.shape, facts.edges, mask);
    now.from = fault ? "nothing" : facts.version ? "label" : "model";
    view.show(mask);
    view.crosshair = now.drawing.middle();
    await list();
    say(fault);
  });
  if (now.facts) desk.ready(now.facts.case).catch(() => {});
}

/** The chosen channel's voxels on the screen; of a large scan a slice first. */
async function voxels() {
  const { facts, channel } = now;
  if (facts.shape.reduce((a, b) => a * b) > LARGE) {
    const slice = view.crosshair[2];
    view.first(await desk.slice(facts.case, channel, slice), slice);
  }
  view.load(await desk.image(facts.case, channel, part => { $("wait").textContent = `reading the scan … ${Math.round(100 * part)} %`; }));
}

/** What the reader begins with. Where the model fails one can draw all the same; a label that cannot be read stays. */
async function firstMask(facts) {
  if (facts.version) return { mask: await desk.label(facts.case), fault: "" };
  try {
    return { mask: await desk.mask(facts.case), fault: "" };
  } catch (error) {
    return { mask: new Uint8Array(facts.shape.reduce((a, b) => a * b)), fault: `There is no mask of the model: ${error.message}` };
  }
}

function mayLeave() {
  return !unsaved() || confirm("What you drew is not saved. Leave it?");
}

const unsaved = () => now.drawing !== null && (now.drawing.changes !== now.saved || !same(now.whole, now.facts.whole));
const same = (set, list) => set.size === list.length && list.every(each => set.has(each));

async function whileBusy(text, work) {
  now.busy = true;
  let done = false;
  $("wait").textContent = text;
  $("wait").hidden = false;
  try {
    await work();
    done = true;
  } catch (error) {
    say(error.message);
  } finally {
    now.busy = false;
    $("wait").hidden = true;
    document.body.dataset.scan = now.facts?.case ?? "";
    status();
  }
  return done;
}

async function save(part) {
  const { facts, drawing } = now;
  if (!facts || now.busy) return;
  const drawn = part ? drawing.drawnText() : "";
  if (part && !drawn) { say("No slice was drawn in yet. R marks the slice under the crosshair as looked at."); return; }
  const done = await whileBusy("saving …", async () => {
    const changes = drawing.changes;
    const whole = [...now.whole].sort((a, b) => a - b);
    facts.version = await desk.save(facts.case, facts.version, drawing.mask, now.seconds, drawn, whole);
    facts.whole = whole;
    Object.assign(now, { saved: changes, seconds: 0, from: "label" });
    await list();
  });
  if (done) say(["Saved.", part ? "The other slices count as not looked at." : "", notDrawn()].join(" ").trim(), true);
}

/** What is said of the classes without a tick. */
function notDrawn() {
  const names = now.about.classes.filter(row => !row.ignore && !now.whole.has(row.number)).map(row => row.name);
  return names.length ? `Not drawn, and left out: ${names.join(", ")}.` : "";
}

async function mark(action) {
  if (!now.facts || now.busy) return;
  const note = action === "flag" ? prompt("What is odd about this scan? It is not offered again.", "") : "";
  if (note === null || !mayLeave()) return;
  Object.assign(now, { saved: now.drawing?.changes ?? 0, whole: new Set(now.facts.whole) });
  await whileBusy("", () => desk.mark(now.facts.case, action, note, now.seconds));
  await next();
}

async function next() {
  const passed = now.facts ? [...now.passed, now.facts.case] : [];
  await open(async () => (await desk.next(passed)) ?? desk.next(now.facts ? [now.facts.case] : []));
  if (now.facts) now.passed = passed;
}

async function list() {
  showScans(await desk.scans(), now.facts?.case, scan => open(() => desk.open(scan)));
}

// ---- drawing

const level = () => now.tool === "eraser" ? 0 : now.value;

/** Whether a voxel may get the class now. `near`: the intensity that the threshold brush began at. */
function allowed(near) {
  const { mask } = now.drawing, protect = $("protect").checked, value = level();
  const [low, high] = view.window, band = (high - low) * Number($("tolerance").value) / 100;
  return index => {
    if (protect && value && mask[index] && mask[index] !== value) return false;
    return near === null || Math.abs(view.intensity(index) - near) <= band;
  };
}

function draw(work) {
  now.drawing.begin();
  work();
  if (now.drawing.end()) view.refresh();
  status();
}

/** The tool's touch at one voxel, by mouse or keyboard. */
function touch(at, axis) {
  const near = now.tool === "threshold" ? view.intensity(now.drawing.index(at)) : null;
  const free = allowed(near);
  if (now.tool === "fill") now.drawing.fill(at, axis, now.value, free);
  else now.drawing.line(at, at, axis, now.size - 1, level(), free);
  return free;
}

let stroke = null;

function press(event) {
  $("viewer").focus();
  if (now.tool === "look" || !now.drawing || now.busy) { look(event); return; }
  const found = view.under(event);
  if (!found) return;
  now.drawing.begin();
  stroke = { ...found, free: touch(found.at, found.axis) };
  view.refresh();
}

function drag(event) {
  if (!stroke) { look(event); return; }
  const found = view.under(event);
  if (!found || found.axis !== stroke.axis || now.tool === "fill") return;
  now.drawing.line(stroke.at, found.at, stroke.axis, now.size - 1, level(), stroke.free);
  stroke.at = found.at;
  view.refresh();
}

function release(dropped) {
  if (!stroke) return;
  stroke = null;
  now.drawing.end();
  if (dropped) now.drawing.forget();
  view.refresh();
  status();
}

/** The crosshair to where the event is. */
function look(event) {
  const found = now.facts && view.under(event);
  if (!found) return;
  now.axis = found.axis;
  view.choose(found.axis);
  view.crosshair = found.at;
}

function hover(event) {
  view.ring(now.tool === "look" || now.tool === "fill" || event.pointerType === "touch" ? null : event, now.size - 1);
  const found = now.facts && view.under(event);
  if (found) place(found.at, found.axis);
}

function slices(event, by) {
  const axis = now.facts && view.axisUnder(event);
  if (axis === null || axis === undefined) return;
  now.axis = axis;
  view.choose(axis);
  move([2, by]);
}

const POINTER = {
  press, drag, release, hover, slices, left: () => view.ring(null),
  window: (dx, dy) => { if (now.facts && !now.facts.colour) { view.windowBy(dx, dy); fields(); } },
  pan: (event, dx, dy) => view.planes.pan(view.axisUnder(event), dx, dy),
  zoom: (event, factor) => { if (now.facts) view.planes.zoomBy(factor, view.under(event)); },
};

function swapped(changed) {
  if (changed) view.refresh();
  status();
}

async function model() {
  await whileBusy("asking the model …", async () => {
    const found = await desk.mask(now.facts.case);
    draw(() => now.drawing.become(found));
  });
}

function interpolate() {
  let made = 0;
  draw(() => { made = now.drawing.interpolate(now.axis, now.value, allowed(null)); });
  say(made ? `${made} slices made between the drawn ones.` : "Draw the class in two slices that do not touch, then interpolate.", made > 0);
}

// ---- the keyboard

function move([along, by]) {
  const [u, v] = [0, 1, 2].filter(a => a !== now.axis), at = view.crosshair;
  const axis = [u, v, now.axis][along];
  const mirrored = along === 0 && view.planes.mirrored(now.axis);
  at[axis] += mirrored ? -by : by;
  view.crosshair = at;
  if (now.pen && along < 2 && now.drawing && !now.busy) draw(() => touch(view.crosshair, now.axis));
  status();
}

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
  mark: () => { now.drawing.drawn[now.axis].add(view.crosshair[now.axis]); status(); },
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

function act(action) {
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

function key(event) {
  const place = event.target;
  if ($("help").open || (place.matches("input:not([type=range]):not([type=checkbox]), select, textarea") && event.key !== "Escape")) return;
  if (place.matches("button, input") && ["Enter", " "].includes(event.key)) return;
  if (place.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  act(action);
}

// ---- what stands beside

function choose(number) {
  now.value = number;
  if (now.tool === "eraser" || now.tool === "look") now.tool = "brush";
  status();
}

function whole(number) {
  if (!now.whole.delete(number)) now.whole.add(number);
  status();
}

function resize(size) { now.size = Math.min(Math.max(size, 1), 40); status(); }

function fade(part) {
  now.opacity = Math.min(Math.max(Math.round(part * 20) / 20, 0), 1);
  now.hidden = false;
  view.opacity(now.opacity);
  status();
}

function fields() {
  const [low, high] = view.window;
  $("low").value = Number(low.toPrecision(4));
  $("high").value = Number(high.toPrecision(4));
  const { channels, colour } = now.facts;
  $("low").disabled = $("high").disabled = colour;
  $("channel-line").hidden = channels.length < 2;
  $("channel").replaceChildren(...channels.map((name, number) => new Option(name, number, false, number === now.channel)));
}

function status() {
  const { facts, drawing, about } = now;
  document.querySelectorAll("[data-tool]").forEach(b => b.setAttribute("aria-pressed", b.dataset.tool === now.tool));
  showClasses(about?.classes ?? [], now.tool === "eraser" ? 0 : now.value, choose, now.whole, whole);
  $("size").value = now.size;
  $("size-of").textContent = `${2 * now.size - 1} voxels`;
  $("tolerance-of").textContent = `± ${$("tolerance").value} % of the window`;
  $("opacity").value = 100 * now.opacity;
  $("opacity-of").textContent = now.hidden ? "hidden" : `${Math.round(100 * now.opacity)} %`;
  $("scan").textContent = facts?.case ?? "semivox annotate";
  $("why").textContent = facts?.reason ?? "";
  const what = facts && { label: "a saved label", model: "the model's mask", nothing: "no mask yet" }[now.from];
  $("state").textContent = facts ? (unsaved() ? "not saved yet" : what) : "";
  $("drawn").textContent = drawing ? (drawing.drawnText().split(":")[1]?.split(",").length ?? 0) : 0;
  document.querySelectorAll("[data-do=part], [data-do=mark]").forEach(b => {
    b.disabled = !about?.has_ignore || facts?.dims === 2;
    b.title = b.disabled ? 'for scans in 3D of a data folder that declares a value for what nobody looked at: "ignore" in dataset.json' : "";
  });
  if (!facts) return;
  Object.assign($("slice"), { max: facts.shape[now.axis], value: view.crosshair[now.axis] + 1 });
  $("slice").parentElement.hidden = facts.dims === 2;
  place(view.crosshair, now.axis);
}

function place(at, axis) {
  const { facts, drawing, about } = now, index = at.reduce((sum, v, a) => sum + v * view.planes.strides[a], 0);
  const found = drawing && (about.classes.find(row => row.number === drawing.mask[index])?.name ?? "background");
  const value = view.intensity(index);
  $("place").textContent = [
    facts.dims === 3 ? `${view.planeName(axis)} ${at[axis] + 1} of ${facts.shape[axis]}` : null,
    `voxel ${at.slice(0, facts.dims).join(", ")}`, value === null ? null : Number(value.toPrecision(5)), found, facts.dims === 3 ? VIEWS[view.shown] : null,
    now.pen ? "pen down" : null,
  ].filter(part => part !== null).join(" · ");
}

// ---- training

async function again() {
  try {
    showTraining(await desk.train(), now.about);
  } catch (error) {
    say(error.message);
  }
}

async function watch() {
  try {
    const before = now.about.run;
    const state = await desk.training();
    showTraining(state, now.about);
    if (state.state === "done" && state.run !== before) {
      now.about = await desk.about();
      say(`${state.run} has learned from your labels: from now on masks are its own.`, true);
      await list();
      showTraining(state, now.about);
    }
  } catch { /* the server is gone, or busy: the next action tells */ }
}

// ---- the beginning

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
