// A scan's slices on a canvas: where each plane lies, what is in it, and which voxel is under a point. No graphics
// card is needed: only the slices that are on the screen are ever drawn, so that the size of a scan does not matter.

export const NAMES = ["sagittal", "coronal", "axial"];
const ACROSS = [[1, 2], [0, 2], [0, 1]];  // axis -> the axes that go right (or left) and up in its plane
const LETTERS = ["LR", "PA", "IS"];  // at the low and the high end of an axis
const GAP = 4, MOST_ZOOM = 20;

/** Rows of tiles for a view; null is the place of the 3D view. The arrangement that shows most is taken. */
const ARRANGEMENTS = {
  planes: [[[1, 0], [2]], [[2, 1, 0]], [[2], [1], [0]], [[2], [1, 0]]],
  both: [[[1, 0], [2, null]], [[2, 1, 0, null]], [[2], [1], [0], [null]]],
};

export class Planes {
  /** `slow`: no graphics card draws, so the processor had better do it without a detour. */
  constructor(canvas, slow) {
    this.canvas = canvas;
    this.slow = slow;
    this.context = canvas.getContext("2d", { alpha: false, willReadFrequently: slow });
    this.tiles = [];
    this.facts = null;
    this.bare = false;  // without crosshair and letters
    this.pictures = new Map();
    this.changed = { voxels: 0, mask: 0 };
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** A scan of which nothing but its size is known yet. */
  expect(facts) {
    Object.assign(this, { facts, voxels: null, first: null, mask: null, zoom: 1 });
    this.table = null;
    this.crosshair = facts.shape.map(n => Math.floor(n / 2));
    this.centre = facts.shape.map(n => n / 2);
    this.strides = [1, facts.shape[0], facts.shape[0] * facts.shape[1]];
    this.again("voxels");
  }

  again(what) {
    this.changed[what]++;
    this.draw();
  }

  // ---- where planes lie

  size(axis) {
    const { shape, edges } = this.facts;
    return ACROSS[axis].map(a => shape[a] * edges[a]);
  }

  /** Tiles for the axes in `shown` ("planes", "both", an axis, or "3D"): boxes in CSS pixels. */
  arrange(shown) {
    this.shown = shown;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!this.facts || !width || !height) return;
    if (shown === "3D") { this.tiles = [{ axis: null, x: 0, y: 0, w: width, h: height }]; return; }
    const fits = (ARRANGEMENTS[shown] ?? [[[shown]]]).map(rows => this.fit(rows, width, height));
    const { rows, heights, scale } = fits.reduce((a, b) => b.scale > a.scale * 1.001 ? b : a);
    this.tiles = [];
    let y = 0;
    rows.forEach((row, r) => {
      const wide = row.map(axis => this.size(axis ?? 2)[0]), sum = wide.reduce((a, b) => a + b);
      const h = share(height, heights, r);
      let x = 0;
      row.forEach((axis, c) => {
        const w = share(width, wide, c, sum);
        this.tiles.push({ axis, x, y, w: w - GAP * (c + 1 < row.length), h: h - GAP * (r + 1 < rows.length), scale });
        x += w;
      });
      y += h;
    });
  }

  fit(rows, width, height) {
    const heights = rows.map(row => Math.max(...row.map(axis => this.size(axis ?? 2)[1])));
    const wide = Math.max(...rows.map(row => row.reduce((sum, axis) => sum + this.size(axis ?? 2)[0], 0)));
    const room = [width - GAP * (Math.max(...rows.map(row => row.length)) - 1), height - GAP * (rows.length - 1)];
    return { rows, heights, scale: Math.min(room[0] / wide, room[1] / heights.reduce((a, b) => a + b)) };
  }

  get solidBox() { return this.tiles.find(tile => tile.axis === null) ?? null; }

  /** Of a patient seen from the front or from the feet, the right side is at the left. */
  mirrored(axis) { return axis !== 0 && this.facts.dims === 3; }

  /** Where the plane of a tile begins and how long it is on the screen: {left, top, width, height, perVoxel}. */
  placed({ axis, x, y, w, h, scale }) {
    const { shape, edges } = this.facts, [u, v] = ACROSS[axis];
    const perVoxel = [edges[u] * scale * this.zoom, edges[v] * scale * this.zoom];
    const at = this.mirrored(axis) ? shape[u] - this.centre[u] : this.centre[u];
    return {
      left: x + w / 2 - at * perVoxel[0], top: y + h / 2 - (shape[v] - this.centre[v]) * perVoxel[1],
      width: shape[u] * perVoxel[0], height: shape[v] * perVoxel[1], perVoxel,
    };
  }

  tileAt(x, y) {
    return this.tiles.find(t => t.axis !== null && x >= t.x && x < t.x + t.w && y >= t.y && y < t.y + t.h) ?? null;
  }

  /** {at, axis, tile, exact} of the voxel under a point in CSS pixels of the canvas, or null beside the planes. */
  under(x, y) {
    const tile = this.facts && this.tileAt(x, y);
    if (!tile) return null;
    const { left, top, perVoxel } = this.placed(tile), [u, v] = ACROSS[tile.axis], { shape } = this.facts;
    const exact = [...this.crosshair];
    exact[u] = (x - left) / perVoxel[0];
    if (this.mirrored(tile.axis)) exact[u] = shape[u] - exact[u];
    exact[v] = shape[v] - (y - top) / perVoxel[1];
    const at = exact.map(Math.floor);
    if ([u, v].some(a => at[a] < 0 || at[a] >= shape[a])) return null;
    return { at, axis: tile.axis, tile, exact };
  }

  zoomBy(factor, found) {
    const before = this.zoom;
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    const kept = found?.exact ?? this.crosshair.map(c => c + 0.5);
    const axes = found ? ACROSS[found.axis] : [0, 1, 2];
    for (const a of axes) this.centre[a] = kept[a] + (this.centre[a] - kept[a]) * before / this.zoom;
    if (this.zoom === 1) this.centre = this.facts.shape.map(n => n / 2);
    this.draw();
  }

  pan(axis, dx, dy) {
    const tile = this.tiles.find(t => t.axis === axis);
    if (!tile || this.zoom === 1) return;
    const [u, v] = ACROSS[axis], { perVoxel } = this.placed(tile), { shape } = this.facts;
    const clamp = (value, a) => Math.min(Math.max(value, 0), shape[a]);
    this.centre[u] = clamp(this.centre[u] + (this.mirrored(axis) ? dx : -dx) / perVoxel[0], u);
    this.centre[v] = clamp(this.centre[v] + dy / perVoxel[1], v);
    this.draw();
  }

  // ---- what is in them

  /** A slice as a canvas of its own, a pixel a voxel, as it lies on the screen; kept until something changes. */
  picture(axis, kind, fill) {
    const key = kind + axis, state = `${this.crosshair[axis]} ${this.changed[kind]}`;
    const { shape } = this.facts, [u, v] = ACROSS[axis];
    let found = this.pictures.get(key);
    if (found?.state === state) return found.canvas;
    if (!found || found.canvas.width !== shape[u] || found.canvas.height !== shape[v]) {
      const canvas = Object.assign(document.createElement("canvas"), { width: shape[u], height: shape[v] });
      const context = canvas.getContext("2d", { willReadFrequently: this.slow });
      found = { canvas, context, image: context.createImageData(shape[u], shape[v]) };
      found.pixels = new Uint32Array(found.image.data.buffer);
      this.pictures.set(key, found);
    }
    fill(found.pixels, axis);
    found.context.putImageData(found.image, 0, 0);
    found.state = state;
    return found.canvas;
  }

  /** Calls `put(pixel, index)` for every voxel of the plane, row by row from the top. */
  each(axis, put) {
    const { shape } = this.facts, [u, v] = ACROSS[axis], su = this.strides[u], sv = this.strides[v];
    const start = this.crosshair[axis] * this.strides[axis], mirrored = this.mirrored(axis), width = shape[u];
    for (let row = 0, pixel = 0; row < shape[v]; row++) {
      let index = start + (shape[v] - 1 - row) * sv + (mirrored ? (width - 1) * su : 0);
      for (let n = 0; n < width; n++, pixel++, index += mirrored ? -su : su) put(pixel, index);
    }
  }

  fillScan(pixels, axis) {
    let voxels = this.voxels, offset = 0;
    if (!voxels) {
      pixels.fill(0xff000000);
      if (!this.first || axis !== 2 || this.first.slice !== this.crosshair[2]) return;
      voxels = this.first.voxels;
      offset = this.crosshair[2] * this.strides[2];
    }
    if (this.facts.colour) {
      this.each(axis, (p, i) => { pixels[p] = 0xff000000 | voxels[3 * i + 2] << 16 | voxels[3 * i + 1] << 8 | voxels[3 * i]; });
      return;
    }
    const [low, high] = this.window, gain = 255 / ((high - low) || 1);
    if (voxels.BYTES_PER_ELEMENT > 2) {
      this.each(axis, (p, i) => { pixels[p] = grey((voxels[i - offset] - low) * gain); });
      return;
    }
    const table = this.greys(low, gain);
    this.each(axis, (p, i) => { pixels[p] = table[voxels[i - offset] & 0xffff]; });
  }

  /** Grey of every value that two bytes can hold. */
  greys(low, gain) {
    if (this.table?.low === low && this.table.gain === gain) return this.table.greys;
    const greys = new Uint32Array(65536), signed = this.facts.voxels === "int16";
    for (let i = 0; i < 65536; i++) {
      const value = signed && i > 32767 ? i - 65536 : i;
      greys[i] = grey((value - low) * gain);
    }
    this.table = { low, gain, greys };
    return greys;
  }

  /** Once a frame, however often it is asked for. */
  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.drawNow(); });
  }

  drawNow() {
    const { canvas, context } = this, dpr = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dpr), height = Math.round(canvas.clientHeight * dpr);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (!this.facts) return;
    this.arrange(this.shown);
    this.arranged?.(this.solidBox);
    for (const tile of this.tiles) if (tile.axis !== null) this.drawTile(tile);
  }

  drawTile(tile) {
    const { context } = this, { axis, x, y, w, h } = tile, place = this.placed(tile);
    const box = [place.left, place.top, place.width, place.height];
    context.save();
    context.beginPath();
    context.rect(x, y, w, h);
    context.clip();
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "low";
    context.drawImage(this.picture(axis, "voxels", (p, a) => this.fillScan(p, a)), ...box);
    if (this.mask && this.opacity > 0) {
      const { mask, colours } = this;
      context.imageSmoothingEnabled = false;
      context.globalAlpha = this.opacity;
      context.drawImage(this.picture(axis, "mask", (p, a) => this.each(a, (n, i) => { p[n] = colours[mask[i]]; })), ...box);
      context.globalAlpha = 1;
    }
    if (!this.bare) this.drawMarks(tile, place);
    context.restore();
  }

  drawMarks({ axis, x, y, w, h }, { left, top, width, height, perVoxel }) {
    const { context, facts } = this, [u, v] = ACROSS[axis], { shape } = facts;
    const along = this.mirrored(axis) ? shape[u] - 1 - this.crosshair[u] : this.crosshair[u];
    const cx = left + (along + 0.5) * perVoxel[0], cy = top + (shape[v] - 0.5 - this.crosshair[v]) * perVoxel[1];
    const line = (x0, y0, x1, y1) => { context.beginPath(); context.moveTo(x0, y0); context.lineTo(x1, y1); context.stroke(); };
    const free = 6;  // what lies under the crosshair stays visible
    context.strokeStyle = "rgba(80, 160, 255, .75)";
    context.lineWidth = 1;
    line(left, cy, cx - free, cy);
    line(cx + free, cy, left + width, cy);
    line(cx, top, cx, cy - free);
    line(cx, cy + free, cx, top + height);
    if (facts.dims !== 3) return;
    context.font = "600 13px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "center";
    context.lineWidth = 3;
    context.lineJoin = "round";
    const text = (words, tx, ty) => {
      context.strokeStyle = "rgba(0, 0, 0, .8)";
      context.fillStyle = "#dfe6f0";
      context.strokeText(words, tx, ty);
      context.fillText(words, tx, ty);
    };
    const edge = { l: Math.max(x, left), r: Math.min(x + w, left + width), t: Math.max(y, top), b: Math.min(y + h, top + height) };
    if (facts.placed) {
      const [near, far] = this.mirrored(axis) ? [LETTERS[u][1], LETTERS[u][0]] : LETTERS[u];
      text(near, edge.l + 10, (edge.t + edge.b) / 2);
      text(far, edge.r - 10, (edge.t + edge.b) / 2);
      text(LETTERS[v][1], (edge.l + edge.r) / 2, edge.t + 11);
      text(LETTERS[v][0], (edge.l + edge.r) / 2, edge.b - 11);
    }
    context.textAlign = "left";
    context.font = `${axis === this.chosen ? 600 : 400} 12px system-ui, sans-serif`;
    text(`${axis === this.chosen ? "▸ " : ""}${NAMES[axis]} ${this.crosshair[axis] + 1}/${shape[axis]}`, edge.l + 6, edge.b - 11);
  }
}

/** What part number `n` gets of `whole`, by its share of `parts`. */
function share(whole, parts, n, sum = parts.reduce((a, b) => a + b)) { return whole * parts[n] / sum; }

/** A pixel of this brightness, 0 to 255. */
function grey(value) { return 0xff000000 | 0x10101 * Math.round(Math.min(Math.max(value, 0), 255)); }
