// The scan, its mask and the crosshair on the screen: planes always, 3D where it is asked for.

import { NAMES, Planes } from "./planes.js";
import { Solid, graphics } from "./solid.js";

export const VIEWS = ["planes and 3D", "axial", "coronal", "sagittal", "3D", "planes"];
const SHOWN = ["both", 2, 1, 0, "3D", "planes"];
const TYPES = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, float32: Float32Array };
const NARROW = 480;
const SOLID_WAITS = 400;  // milliseconds after the last change

export class View {
  constructor(stage) {
    this.stage = stage;
    const drawnBy = graphics();
    this.slow = drawnBy !== "card";
    this.planes = new Planes(stage.querySelector("#viewer"), this.slow);
    this.cursor = stage.querySelector("#cursor");
    this.solid = new Solid(stage.querySelector("#solid"), drawnBy);
    this.planes.arranged = box => { this.solid.place(box); this.solidLater(0); };
    this.moved = () => {};
    this.failed = () => {};
  }

  /** A scan of which nothing but `facts` is known yet. */
  expect(facts, classes) {
    this.facts = { ...facts, classes };
    const colours = new Uint32Array(256);
    for (const row of classes) {
      const [r, g, b] = [1, 3, 5].map(at => parseInt(row.colour.slice(at, at + 2), 16));
      colours[row.number] = (0xff000000 | b << 16 | g << 8 | r) >>> 0;
    }
    this.planes.colours = colours;
    this.planes.expect(this.facts);
    this.channel(0);
    const narrow = this.stage.clientWidth < NARROW;  // one plane, the finest
    this.view(facts.dims === 2 ? 1 : narrow ? 1 + facts.plane : this.slow ? 5 : 0);
  }

  /** Bytes of a channel as voxels. */
  typed(buffer) { return new TYPES[this.facts.voxels](buffer); }

  /** One axial slice, before the rest is there. */
  first(buffer, slice) {
    this.planes.first = { voxels: this.typed(buffer), slice };
    this.planes.again("voxels");
  }

  /** All voxels of a channel. */
  load(buffer) {
    this.planes.voxels = this.typed(buffer);
    this.planes.first = null;
    this.voxelsChanged();
  }

  channel(number) { this.usual = this.planes.window = this.facts.windows[number]; }

  view(number) {
    this.shown = number;
    this.planes.shown = SHOWN[number];
    this.planes.draw();
  }

  voxelsChanged() {
    this.solid.stale.voxels = true;
    this.planes.again("voxels");
  }

  // ---- the mask: bytes of class numbers; what is painted is what is shown

  show(mask) {
    this.planes.mask = mask;
    this.refresh();
  }

  refresh() {
    this.solid.stale.mask = true;
    this.planes.again("mask");
    this.solidLater(SOLID_WAITS);
  }

  opacity(part) {
    this.planes.opacity = part;
    this.solid.stale.mask = true;
    this.planes.draw();
  }

  solidLater(wait) {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.solid.refresh(this.planes).catch(error => this.failed(error)), wait);
  }

  // ---- intensities

  get window() { return this.planes.window; }

  set window([low, high]) {
    this.planes.window = [low, high];
    this.voxelsChanged();
  }

  usualWindow() { this.window = this.usual; }

  /** Level and width by a drag of the mouse, in parts of the usual width. */
  windowBy(dx, dy) {
    const [low, high] = this.window, width = this.usual[1] - this.usual[0];
    const level = (low + high) / 2 - dy / 300 * width, half = Math.max((high - low) / 2 + dx / 600 * width, width / 1000);
    this.window = [level - half, level + half];
  }

  /** Intensity of a voxel by its index; of colours their mean; null where it is not there yet. */
  intensity(index) {
    const { voxels, facts } = this.planes;
    if (!voxels) return null;
    return facts.colour ? (voxels[3 * index] + voxels[3 * index + 1] + voxels[3 * index + 2]) / 3 : voxels[index];
  }

  // ---- places

  get crosshair() { return [...this.planes.crosshair]; }

  set crosshair(at) {
    const { shape } = this.facts;
    this.planes.crosshair = at.map((v, a) => Math.min(Math.max(v, 0), shape[a] - 1));
    this.planes.draw();
    this.solid.crosshair(this.planes.crosshair, shape);
    this.moved();
  }

  choose(axis) {
    this.planes.chosen = axis;
    this.planes.draw();
  }

  point(event) {
    const box = this.planes.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** {at, axis, tile, exact} of the voxel under a mouse event, or null beside the planes. */
  under(event) { return this.planes.under(...this.point(event)); }

  axisUnder(event) { return this.planes.tileAt(...this.point(event))?.axis ?? null; }

  /** A ring of the brush's size around a mouse event; without an event none. */
  ring(event, radius) {
    const found = event && this.under(event);
    this.cursor.hidden = !found;
    if (!found) return;
    const [x, y] = this.point(event), fine = Math.min(...this.planes.placed(found.tile).perVoxel);
    const across = Math.max(4, (2 * radius + 1) * fine);
    Object.assign(this.cursor.style, { width: `${across}px`, height: `${across}px`, transform: `translate(${x - across / 2}px, ${y - across / 2}px)` });
  }

  planeName(axis) { return this.facts.dims === 2 ? "picture" : NAMES[axis]; }
}
