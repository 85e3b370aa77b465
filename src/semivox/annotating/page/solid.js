// The scan and its mask in 3D, by NiiVue. It is loaded when a 3D view is first asked for, and given a coarser grid
// than the planes': what is looked at from outside needs no more, and large scans would not fit a graphics card.

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
const HEADER = 352;
const FAINT = 0.35;  // of the scan, so that a mask inside it is seen

/** What would draw a 3D view: "card", "processor" or "nothing". */
export function graphics() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return "nothing";
  const named = gl.getExtension("WEBGL_debug_renderer_info");
  const slow = SOFTWARE.test(gl.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return slow ? "processor" : "card";
}

export class Solid {
  constructor(place, drawnBy) {
    this.drawnBy = drawnBy;
    this.frame = place;
    this.canvas = place.querySelector("canvas");
    this.most = drawnBy === "card" ? 224 : 96;  // voxels along an axis
    this.box = null;
    this.stale = { voxels: true, mask: true };
  }

  async attach() {
    if (this.drawnBy === "nothing") throw new Error("this browser has no WebGL 2, so there is no 3D view");
    await new Promise((done, failed) => {
      const script = Object.assign(document.createElement("script"), { src: "page/niivue.js", onload: done });
      script.onerror = () => failed(new Error("the 3D view cannot be loaded"));
      document.head.append(script);
    });
    const { Niivue, SLICE_TYPE, SHOW_RENDER } = window.niivue;
    this.nv = new Niivue({
      dragAndDropEnabled: false, isResizeCanvas: true, backColor: [0, 0, 0, 1], crosshairColor: [0.25, 0.55, 1, 0.7],
      crosshairWidth: 0.2, crosshairWidthUnit: "voxels", show3Dcrosshair: true, multiplanarShowRender: SHOW_RENDER.NEVER,
      loadingText: "", logLevel: "error", isColorbar: false, viewModeHotKey: "", clipPlaneHotKey: "", isOrientCube: true,
    });
    // the keys are the page's own (see keys.js)
    for (const kind of ["keydown", "keyup"]) this.canvas.addEventListener(kind, e => e.stopImmediatePropagation(), true);
    await this.nv.attachToCanvas(this.canvas);
    this.nv.setSliceType(SLICE_TYPE.RENDER);
  }

  /** Where on the stage it is; null: nowhere. */
  place(box) {
    this.box = box;
    this.frame.hidden = !box;
    if (box) Object.assign(this.frame.style, { left: `${box.x}px`, top: `${box.y}px`, width: `${box.w}px`, height: `${box.h}px` });
  }

  /** Draw what has changed of `planes`, if it is on the screen. */
  async refresh(planes) {
    const { facts, voxels, mask, colours } = planes;
    if (!this.box || !voxels || facts.dims !== 3 || !(this.stale.voxels || this.stale.mask)) return;
    if (this.working) { this.asked = true; return; }
    this.working = true;
    try {
      if (!this.nv) await this.attach();
      if (planes.facts !== facts) return;
      const steps = facts.shape.map(n => Math.ceil(n / this.most)), shape = facts.shape.map((n, a) => Math.ceil(n / steps[a]));
      const fresh = this.stale.voxels;
      this.stale = { voxels: false, mask: false };
      if (fresh) await this.showScan(planes, steps, shape);
      this.nv.setDrawColormap(colourMap(colours, facts.classes));
      this.nv.setDrawOpacity(mask && planes.opacity > 0 ? 1 : 0);
      this.nv.drawBitmap = coarseMask(mask, facts.shape, steps, shape);
      this.nv.refreshDrawing(true, false);
      this.frame.dataset.drawn = "";
    } finally {
      this.working = false;
    }
    if (this.asked) { this.asked = false; await this.refresh(planes); }
  }

  async showScan({ facts, voxels, window: [low, high] }, steps, shape) {
    const { nv } = this;
    while (nv.volumes.length) nv.removeVolumeByIndex(0);
    const file = nifti(coarse(voxels, facts.shape, steps, shape), shape, facts.edges.map((e, a) => e * steps[a]));
    const volume = await window.niivue.NVImage.new(file, "scan.nii", "gray", FAINT);
    volume.cal_min = low;
    volume.cal_max = high;
    nv.opts.isOrientCube = facts.placed;
    nv.addVolume(volume);
    nv.createEmptyDrawing();
  }

  crosshair(at, shape) {
    if (!this.nv?.volumes.length || !this.box) return;
    this.nv.scene.crosshairPos = at.map((v, a) => (v + 0.5) / shape[a]);
    this.nv.drawScene();
  }
}

function colourMap(colours, classes) {
  const map = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ["background"] };
  for (const { number, name } of classes) {
    const colour = colours[number];
    map.R.push(colour & 255);
    map.G.push(colour >> 8 & 255);
    map.B.push(colour >> 16 & 255);
    map.A.push(255);
    map.I.push(number);
    map.labels.push(name);
  }
  return map;
}

/** Every `steps`-th voxel along each axis, as float. */
function coarse(voxels, [nx, ny, nz], steps, [cx, cy, cz]) {
  const made = new Float32Array(cx * cy * cz);
  let n = 0;
  for (let z = 0; z < nz; z += steps[2]) {
    for (let y = 0; y < ny; y += steps[1]) {
      const row = nx * (y + ny * z);
      for (let x = 0; x < nx; x += steps[0]) made[n++] = voxels[row + x];
    }
  }
  return made;
}

/** A coarse voxel has a class where any of its voxels has: thin structures do not vanish. */
function coarseMask(mask, [nx, ny, nz], steps, [cx, cy, cz]) {
  const made = new Uint8Array(cx * cy * cz);
  if (!mask) return made;
  for (let z = 0, index = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = cx * (Math.floor(y / steps[1]) + cy * Math.floor(z / steps[2]));
      for (let x = 0; x < nx; x++, index++) if (mask[index]) made[row + Math.floor(x / steps[0])] = mask[index];
    }
  }
  return made;
}

/** A NIfTI file of floats whose axes are the patient's. */
function nifti(voxels, shape, edges) {
  const file = new ArrayBuffer(HEADER + voxels.byteLength), view = new DataView(file);
  view.setInt32(0, 348, true);
  [3, ...shape, 1, 1, 1, 1].forEach((n, i) => view.setInt16(40 + 2 * i, n, true));
  view.setInt16(70, 16, true);  // float
  view.setInt16(72, 32, true);
  [1, ...edges, 0, 0, 0, 0].forEach((e, i) => view.setFloat32(76 + 4 * i, e, true));
  view.setFloat32(108, HEADER, true);
  view.setFloat32(112, 1, true);
  view.setUint8(123, 2);  // mm
  view.setInt16(254, 1, true);
  edges.forEach((e, row) => view.setFloat32(280 + 20 * row, e, true));
  [0x6e, 0x2b, 0x31, 0].forEach((byte, i) => view.setUint8(344 + i, byte));
  new Float32Array(file, HEADER).set(voxels);
  return file;
}
