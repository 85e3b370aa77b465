// A mask and what can be done to it, without a picture: class numbers, a byte a voxel, first axis fastest.

const MOST_UNDO = 200;

export class Drawing {
  /** `ignore`: the number of what nobody looked at, or null. */
  constructor(shape, edges, mask, ignore = null) {
    this.shape = shape;
    this.edges = edges;
    this.mask = mask;
    this.ignore = ignore;
    this.strides = [1, shape[0], shape[0] * shape[1]];
    this.done = [];
    this.undone = [];
    this.drawn = [new Set(), new Set(), new Set()];  // slices that were drawn in, across each axis; never changed, but replaced
    this.saved = [new Set(), new Set(), new Set()];  // those that the label had before
    this.changes = 0;
    this.stroke = null;
  }

  index(at) { return at[0] + at[1] * this.strides[1] + at[2] * this.strides[2]; }
  within(at) { return at.every((v, i) => v >= 0 && v < this.shape[i]); }

  // ---- one step of undo

  begin() { this.stroke = { was: new Map(), drawn: this.drawn, saved: this.saved }; }

  put(index, value) {
    const before = this.mask[index], { was } = this.stroke;
    if (before === value) return;
    if (!was.has(index)) was.set(index, before);
    this.mask[index] = value;
  }

  /** Ends the step; whether it changed anything, be it only which slices count. */
  end() {
    const { stroke } = this;
    this.stroke = null;
    if (!stroke || !(stroke.was.size || stroke.drawn !== this.drawn || stroke.saved !== this.saved)) return false;
    const { was, drawn, saved } = stroke;
    this.done.push({ at: Uint32Array.from(was.keys()), was: Uint8Array.from(was.values()), drawn, saved });
    if (this.done.length > MOST_UNDO) this.done.shift();
    this.undone = [];
    this.changes++;
    return true;
  }

  /** Ends the step as if it had never begun. */
  drop() {
    const { was, drawn, saved } = this.stroke;
    was.forEach((value, index) => { this.mask[index] = value; });
    Object.assign(this, { drawn, saved, stroke: null });
  }

  undo() { return this.swap(this.done, this.undone); }
  redo() { return this.swap(this.undone, this.done); }

  swap(from, to) {
    if (this.stroke || !from.length) return false;
    const { at, was, drawn, saved } = from.pop();
    to.push({ at, was: Uint8Array.from(at, index => this.mask[index]), drawn: this.drawn, saved: this.saved });
    at.forEach((index, i) => { this.mask[index] = was[i]; });
    Object.assign(this, { drawn, saved });
    this.changes++;
    return true;
  }

  /** Another mask in place of this one: nobody drew in a slice that it changes. */
  become(mask) {
    const changed = this.slicesWhere(index => mask[index] !== this.mask[index]);
    if (!changed[0].size) return;
    for (let index = 0; index < mask.length; index++) if (mask[index] !== this.mask[index]) this.put(index, mask[index]);
    const rest = sets => sets.map((set, axis) => new Set([...set].filter(slice => !changed[axis].has(slice))));
    Object.assign(this, { drawn: rest(this.drawn), saved: rest(this.saved) });
  }

  /** The voxel in the middle of what is drawn, or of the scan. */
  middle() {
    const [nx, ny, nz] = this.shape, { mask } = this, sum = [0, 0, 0];
    let n = 0;
    for (let z = 0, index = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        for (let x = 0; x < nx; x++, index++) {
          if (!mask[index]) continue;
          sum[0] += x;
          sum[1] += y;
          sum[2] += z;
          n++;
        }
      }
    }
    return n ? sum.map(s => Math.round(s / n)) : this.shape.map(s => Math.floor(s / 2));
  }

  // ---- tools; `axis` is the one across the plane

  planeAxes(axis) { return [0, 1, 2].filter(a => a !== axis); }

  /** All voxels of the plane through `at` whose centre lies within `radius` (in voxels of the finer edge). */
  disc(at, axis, radius, visit) {
    const [u, v] = this.planeAxes(axis);
    const fine = Math.min(this.edges[u], this.edges[v]);
    const ru = radius * fine / this.edges[u], rv = radius * fine / this.edges[v];
    const point = [...at];
    for (let dv = -Math.floor(rv); dv <= Math.floor(rv); dv++) {
      for (let du = -Math.floor(ru); du <= Math.floor(ru); du++) {
        if ((du / (ru || 1)) ** 2 + (dv / (rv || 1)) ** 2 > 1) continue;
        point[u] = at[u] + du;
        point[v] = at[v] + dv;
        if (this.within(point)) visit(this.index(point));
      }
    }
  }

  /** A stroke of the brush from one voxel to another. `allowed(index)`: whether a voxel may be changed. */
  line(from, to, axis, radius, value, allowed) {
    const steps = Math.max(1, ...from.map((v, i) => Math.abs(to[i] - v)));
    for (let n = 0; n <= steps; n++) {
      const at = from.map((v, i) => Math.round(v + (to[i] - v) * n / steps));
      this.draws(axis, at[axis]);
      this.disc(at, axis, radius, index => { if (allowed(index)) this.put(index, value); });
    }
  }

  /** What is connected with `at` in its plane and of its class becomes `value`. */
  fill(at, axis, value, allowed) {
    const [u, v] = this.planeAxes(axis);
    this.draws(axis, at[axis]);
    const first = this.index(at), old = this.mask[first];
    if (old === value || !allowed(first)) return;
    const open = [[at[u], at[v]]];
    while (open.length) {
      const [x, y] = open.pop();
      if (x < 0 || y < 0 || x >= this.shape[u] || y >= this.shape[v]) continue;
      const point = [...at];
      point[u] = x;
      point[v] = y;
      const index = this.index(point);
      if (this.mask[index] !== old || !allowed(index)) continue;
      this.put(index, value);
      open.push([x + 1, y], [x - 1, y], [x, y + 1], [x, y - 1]);
    }
  }

  /**
   * The class `value` between its drawn slices across `axis`: halfway from one outline to the next. Of slices that
   * nobody drew in, those between two neighbours that hold the class. Returns how many slices were made.
   */
  interpolate(axis, value, allowed) {
    const count = this.shape[axis];
    let anchors = [...this.drawn[axis]].filter(s => this.holds(axis, s, value)).sort((a, b) => a - b);
    if (anchors.length < 2) anchors = [...Array(count).keys()].filter(s => this.holds(axis, s, value));
    let made = 0;
    for (let n = 0; n + 1 < anchors.length; n++) {
      const [a, b] = [anchors[n], anchors[n + 1]];
      if (b - a < 2) continue;
      const from = this.distances(axis, a, value), to = this.distances(axis, b, value);
      for (let s = a + 1; s < b; s++) {
        const t = (s - a) / (b - a);
        this.draws(axis, s);
        this.eachOf(axis, s, (index, i) => {
          const inside = from[i] * (1 - t) + to[i] * t < 0;
          if (inside && allowed(index)) this.put(index, value);
          else if (!inside && this.mask[index] === value) this.put(index, 0);
        });
        made++;
      }
    }
    return made;
  }

  holds(axis, slice, value) {
    let found = false;
    this.eachOf(axis, slice, index => { found ||= this.mask[index] === value; });
    return found;
  }

  eachOf(axis, slice, visit) {
    const [u, v] = this.planeAxes(axis);
    const at = [0, 0, 0];
    at[axis] = slice;
    let i = 0;
    for (at[v] = 0; at[v] < this.shape[v]; at[v]++) {
      for (at[u] = 0; at[u] < this.shape[u]; at[u]++) visit(this.index(at), i++);
    }
  }

  /** Distance to the class's outline in one slice, negative inside (two passes over the neighbours). */
  distances(axis, slice, value) {
    const [u, v] = this.planeAxes(axis);
    const width = this.shape[u], height = this.shape[v];
    const inside = new Uint8Array(width * height);
    this.eachOf(axis, slice, (index, i) => { inside[i] = this.mask[index] === value ? 1 : 0; });
    const outer = spread(inside, 1, width, height, this.edges[u], this.edges[v]);
    const inner = spread(inside, 0, width, height, this.edges[u], this.edges[v]);
    return outer.map((far, i) => inside[i] ? -inner[i] : far);
  }

  // ---- which slices count, where it is not all of them

  /**
   * The slice is drawn in or looked at, and counts. What a saved label calls "not looked at" throughout is
   * background from then on, as in a mask of the model: else it would count and say nothing.
   */
  draws(axis, slice) {
    if (this.drawn[axis].has(slice)) return;
    this.drawn = this.drawn.map((set, a) => a === axis ? new Set([...set, slice]) : set);
    if (this.ignore === null) return;
    let blank = true;
    this.eachOf(axis, slice, index => { blank &&= this.mask[index] === this.ignore; });
    if (blank) this.eachOf(axis, slice, index => this.put(index, 0));
  }

  /**
   * The mask is a saved label: slices count in which it says anything. They are taken across the axis of which
   * the label leaves out most, for that is how a part was saved; `usual` where it leaves out nothing.
   */
  begunWithLabel(usual) {
    const said = this.slicesWhere(index => this.mask[index] !== this.ignore);
    const part = a => said[a].size / this.shape[a];
    const axis = [usual, 0, 1, 2].reduce((best, a) => part(a) < part(best) ? a : best);
    this.saved = this.saved.map((none, a) => a === axis ? said[a] : none);
  }

  /** Of each axis the slices in which a voxel is `wanted(index)`. */
  slicesWhere(wanted) {
    const [nx, ny, nz] = this.shape, found = this.shape.map(count => new Uint8Array(count));
    for (let z = 0, index = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        for (let x = 0; x < nx; x++, index++) if (wanted(index)) found[0][x] = found[1][y] = found[2][z] = 1;
      }
    }
    return found.map(flags => new Set([...flags.keys()].filter(slice => flags[slice])));
  }

  /** {axis, slices} of each plane of which slices count; one plane alone where all of its do. */
  counted() {
    const found = this.shape.map((count, axis) => (
      { axis, slices: [...new Set([...this.drawn[axis], ...this.saved[axis]])].sort((a, b) => a - b) }
    )).filter(({ slices }) => slices.length);
    const whole = found.find(({ axis, slices }) => slices.length === this.shape[axis]);
    return whole ? [whole] : found;
  }
}

/** Distance of every pixel to the nearest one that equals `target`. */
function spread(pixels, target, width, height, du, dv) {
  const far = new Float32Array(width * height);
  const across = Math.hypot(du, dv);
  pixels.forEach((value, i) => { far[i] = value === target ? 0 : 1e9; });
  const take = (i, x, y, dx, dy, cost) => {
    if (x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height) {
      far[i] = Math.min(far[i], far[i + dx + dy * width] + cost);
    }
  };
  for (const s of [1, -1]) {
    for (let n = 0; n < width * height; n++) {
      const i = s > 0 ? n : width * height - 1 - n;
      const x = i % width, y = Math.floor(i / width);
      take(i, x, y, -s, 0, du);
      take(i, x, y, 0, -s, dv);
      take(i, x, y, -s, -s, across);
      take(i, x, y, s, -s, across);
    }
  }
  return far;
}
