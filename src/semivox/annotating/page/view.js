// The scan, its mask and the crosshair on the screen: what the page wants of NiiVue, and nothing else knows it.

const { Niivue, NVImage, SLICE_TYPE, SHOW_RENDER, DRAG_MODE } = window.niivue;  // niivue.js, loaded before

export const VIEWS = ["planes and 3D", "axial", "coronal", "sagittal", "3D", "planes"];
const PLANES = 5;
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
const AXIS_OF = { [SLICE_TYPE.AXIAL]: 2, [SLICE_TYPE.CORONAL]: 1, [SLICE_TYPE.SAGITTAL]: 0 };
const NAMES = ["sagittal", "coronal", "axial"];

export class View {
  constructor(canvas, cursor) {
    this.canvas = canvas;
    this.cursor = cursor;
    this.nv = new Niivue({
      dragAndDropEnabled: false, isResizeCanvas: true, backColor: [0, 0, 0, 1], crosshairColor: [0.25, 0.55, 1, 0.7],
      crosshairWidth: 0.2, crosshairWidthUnit: "voxels", fontMinPx: 15, show3Dcrosshair: true, multiplanarShowRender: SHOW_RENDER.ALWAYS, multiplanarPadPixels: 3,
      dragMode: DRAG_MODE.contrast, isNearestInterpolation: false, loadingText: "", logLevel: "error",
      isColorbar: false, yoke3Dto2DZoom: true, maxDrawUndoBitmaps: 1, viewModeHotKey: "", clipPlaneHotKey: "",
    });
    this.moved = () => {};
  }

  async attach() {
    await this.nv.attachToCanvas(this.canvas);
    const gl = this.nv.gl, named = gl.getExtension("WEBGL_debug_renderer_info");
    // without a graphics card a 3D view takes many seconds: it waits until it is asked for
    this.slow = SOFTWARE.test(gl.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    this.nv.onLocationChange = () => this.moved();
    // the keys are the page's own (see keys.js)
    for (const kind of ["keydown", "keyup"]) this.canvas.addEventListener(kind, e => e.stopImmediatePropagation(), true);
  }

  /** Show a scan; `facts` as the server tells them. */
  async load(buffer, facts) {
    const nv = this.nv;
    this.facts = facts;
    while (nv.volumes.length) nv.removeVolumeByIndex(0);
    const volume = await NVImage.new(buffer, "scan.nii", "gray", 1.0);
    nv.addVolume(volume);
    this.volume = nv.volumes[0];
    nv.setRadiologicalConvention(facts.dims === 3);
    nv.opts.isOrientationTextVisible = facts.dims === 3 && facts.placed;
    nv.opts.isCornerOrientationText = false;
    this.view(facts.dims === 2 ? 1 : this.slow ? PLANES : 0);
    nv.createEmptyDrawing();
    nv.scene.crosshairPos = [0.5, 0.5, 0.5];
    nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
    nv.updateGLVolume();
  }

  view(number) {
    this.shown = number;
    const { MULTIPLANAR, AXIAL, CORONAL, SAGITTAL, RENDER } = SLICE_TYPE;
    this.nv.opts.multiplanarShowRender = number === PLANES ? SHOW_RENDER.NEVER : SHOW_RENDER.ALWAYS;
    this.nv.setSliceType([MULTIPLANAR, AXIAL, CORONAL, SAGITTAL, RENDER, MULTIPLANAR][number]);
  }

  // ---- the mask

  colours(classes) {
    const parts = (row, at) => parseInt(row.colour.slice(1 + 2 * at, 3 + 2 * at), 16);
    const map = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ["background"] };
    for (const row of classes) {
      ["R", "G", "B"].forEach((key, at) => map[key].push(parts(row, at)));
      map.A.push(255);
      map.I.push(row.number);
      map.labels.push(row.name);
    }
    this.nv.setDrawColormap(map);
  }

  opacity(part) { this.nv.setDrawOpacity(part); }

  /** The mask's bytes are NiiVue's own drawing: what is painted is what is shown. */
  show(mask) {
    this.nv.drawBitmap = mask;
    this.nv.refreshDrawing(true, false);
  }

  /** Slices from `first` to `last` along the last axis have changed: only these go to the graphics card. */
  refresh(mask, [first, last]) {
    const nv = this.nv, gl = nv.gl, [x, y] = this.facts.shape;
    gl.activeTexture(gl.TEXTURE7);
    gl.bindTexture(gl.TEXTURE_3D, nv.drawTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, first, x, y, last - first + 1, gl.RED, gl.UNSIGNED_BYTE,
      mask.subarray(first * x * y, (last + 1) * x * y));
    nv.drawScene();
  }

  // ---- intensities

  get window() { return [this.volume.cal_min, this.volume.cal_max]; }

  set window([low, high]) {
    this.volume.cal_min = low;
    this.volume.cal_max = high;
    this.nv.updateGLVolume();
  }

  usualWindow() { this.window = [this.volume.robust_min, this.volume.robust_max]; }

  /** Intensity of a voxel by its index; of colours their mean. */
  intensity(index) {
    const img = this.volume.img, n = this.facts.shape.reduce((a, b) => a * b, 1);
    const parts = Math.round(img.length / n);
    if (parts < 2) return img[index] * this.volume.hdr.scl_slope + this.volume.hdr.scl_inter;
    return (img[parts * index] + img[parts * index + 1] + img[parts * index + 2]) / 3;
  }

  // ---- places

  get crosshair() {
    const at = this.nv.frac2vox(this.nv.scene.crosshairPos);
    return [0, 1, 2].map(i => Math.min(Math.max(Math.round(at[i]), 0), this.facts.shape[i] - 1));
  }

  set crosshair(at) {
    this.nv.scene.crosshairPos = this.nv.vox2frac(at);
    this.nv.drawScene();
    this.moved();
  }

  /** {at, axis} of the voxel under a mouse event, or null beside the planes. */
  under(event) {
    const box = this.canvas.getBoundingClientRect(), scale = this.nv.uiData.dpr ?? 1;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    const tile = this.nv.tileIndex(x, y);
    const axis = tile < 0 ? undefined : AXIS_OF[this.nv.screenSlices[tile].axCorSag];
    if (axis === undefined) return null;
    const frac = this.nv.screenXY2TextureFrac(x, y, tile, true);
    if (!frac || frac[0] < 0 || [0, 1, 2].some(i => frac[i] < 0 || frac[i] > 1)) return null;
    const at = [0, 1, 2].map(i => Math.min(Math.max(Math.floor(frac[i] * this.facts.shape[i]), 0), this.facts.shape[i] - 1));
    at[axis] = this.crosshair[axis];
    return { at, axis, tile };
  }

  /** A ring of the brush's size around a mouse event; without an event none. */
  ring(event, radius) {
    const context = this.cursor.getContext("2d"), scale = window.devicePixelRatio || 1;
    if (this.cursor.width !== this.cursor.clientWidth * scale || this.cursor.height !== this.cursor.clientHeight * scale) {
      this.cursor.width = this.cursor.clientWidth * scale;
      this.cursor.height = this.cursor.clientHeight * scale;
    }
    context.clearRect(0, 0, this.cursor.width, this.cursor.height);
    const found = event && this.under(event);
    if (!found) return;
    const slice = this.nv.screenSlices[found.tile], [u, v] = [0, 1, 2].filter(a => a !== found.axis);
    const { edges, shape } = this.facts;
    const fine = Math.min(edges[u], edges[v]);
    const perMm = slice.leftTopWidthHeight[2] / (this.nv.uiData.dpr ?? 1) / (shape[u] * edges[u]);
    const box = this.canvas.getBoundingClientRect();
    context.strokeStyle = "#fff";
    context.lineWidth = scale;
    context.beginPath();
    context.arc((event.clientX - box.left) * scale, (event.clientY - box.top) * scale,
      Math.max(2, (radius + 0.5) * fine * perMm) * scale, 0, 2 * Math.PI);
    context.stroke();
  }

  planeName(axis) { return this.facts.dims === 2 ? "picture" : NAMES[axis]; }
}
