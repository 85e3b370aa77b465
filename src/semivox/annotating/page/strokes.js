// What the tools do to the drawing, by the pointer on the planes and by the keyboard.

import { fields, place, status } from "./beside.js";
import * as desk from "./desk.js";
import { say } from "./panel.js";
import { whileBusy } from "./scans.js";
import { now, view } from "./state.js";

const $ = id => document.getElementById(id);

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

/** One step of undo; none while the pointer makes one. */
export function draw(work) {
  if (now.drawing.stroke) return;
  now.drawing.begin();
  work();
  if (now.drawing.end()) view.refresh();
  status();
}

/** The tool's touch at one voxel, by mouse or keyboard. */
export function touch(at, axis) {
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
  if (dropped) now.drawing.drop();
  else now.drawing.end();
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

export const POINTER = {
  press, drag, release, hover, slices, left: () => view.ring(null),
  window: (dx, dy) => { if (now.facts && !now.facts.colour) { view.windowBy(dx, dy); fields(); } },
  pan: (event, dx, dy) => view.planes.pan(view.axisUnder(event), dx, dy),
  zoom: (event, factor) => { if (now.facts) view.planes.zoomBy(factor, view.under(event)); },
};

export function swapped(changed) {
  if (changed) view.refresh();
  status();
}

export async function model() {
  await whileBusy("asking the model …", async () => {
    const found = await desk.mask(now.facts.case);
    draw(() => now.drawing.become(found));
  });
}

export function interpolate() {
  let made = 0;
  draw(() => { made = now.drawing.interpolate(now.axis, now.value, allowed(null)); });
  say(made ? `${made} slices made between the drawn ones.` : "Draw the class in two slices that do not touch, then interpolate.", made > 0);
}

/** The crosshair a step in the chosen plane or through its slices; a pen that is down draws. */
export function move([along, by]) {
  const [u, v] = [0, 1, 2].filter(a => a !== now.axis), at = view.crosshair;
  const axis = [u, v, now.axis][along];
  const mirrored = along === 0 && view.planes.mirrored(now.axis);
  at[axis] += mirrored ? -by : by;
  view.crosshair = at;
  if (now.pen && along < 2 && now.drawing && !now.busy) draw(() => touch(view.crosshair, now.axis));
  status();
}
