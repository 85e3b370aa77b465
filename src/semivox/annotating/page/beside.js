// What stands beside and below the scan, as the page knows it now, and what is chosen there.

import { showClasses } from "./panel.js";
import { now, unsaved, view } from "./state.js";
import { VIEWS } from "./view.js";

const $ = id => document.getElementById(id);

export function choose(number) {
  now.value = number;
  if (now.tool === "eraser" || now.tool === "look") now.tool = "brush";
  status();
}

export function whole(number) {
  if (!now.whole.delete(number)) now.whole.add(number);
  status();
}

export function resize(size) { now.size = Math.min(Math.max(size, 1), 40); status(); }

export function fade(part) {
  now.opacity = Math.min(Math.max(Math.round(part * 20) / 20, 0), 1);
  now.hidden = false;
  view.opacity(now.opacity);
  status();
}

export function fields() {
  const [low, high] = view.window;
  $("low").value = Number(low.toPrecision(4));
  $("high").value = Number(high.toPrecision(4));
  const { channels, colour } = now.facts;
  $("low").disabled = $("high").disabled = colour;
  $("channel-line").hidden = channels.length < 2;
  $("channel").replaceChildren(...channels.map((name, number) => new Option(name, number, false, number === now.channel)));
}

export function status() {
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
  $("drawn").textContent = drawing?.counted().map(part => part.slices.length).join(" + ") || 0;
  document.querySelectorAll("[data-do=part], [data-do=mark]").forEach(b => {
    b.disabled = !about?.has_ignore || facts?.dims === 2;
    b.title = b.disabled ? 'for scans in 3D of a data folder that declares a value for what nobody looked at: "ignore" in dataset.json' : "";
  });
  if (!facts) return;
  Object.assign($("slice"), { max: facts.shape[now.axis], value: view.crosshair[now.axis] + 1 });
  $("slice").parentElement.hidden = facts.dims === 2;
  place(view.crosshair, now.axis);
}

export function place(at, axis) {
  const { facts, drawing, about } = now, index = at.reduce((sum, v, a) => sum + v * view.planes.strides[a], 0);
  const found = drawing && (about.classes.find(row => row.number === drawing.mask[index])?.name ?? "background");
  const value = view.intensity(index);
  $("place").textContent = [
    now.pen ? "pen down" : null,
    facts.dims === 3 ? `${view.planeName(axis)} ${at[axis] + 1} of ${facts.shape[axis]}` : null,
    `voxel ${at.slice(0, facts.dims).join(", ")}`, value === null ? null : Number(value.toPrecision(5)), found, facts.dims === 3 ? VIEWS[view.shown] : null,
  ].filter(part => part !== null).join(" · ");
}
