/* Scrollable slices with masks.

   A viewer stands in <div data-viewer="ID"> and draws the record in <script type="application/json" id="ID">,
   which semivox.report.slices makes:

     case       its name
     classes    [{value, name, colour, reference}]: the colours of its masks and of its reference
     masks      [{name, reference, colour, dash}]: colour null means that of each class
     windows    [{name, window, level}]: usual ones to offer, in units of the scan
     units      units of the outlines' coordinates to a pixel of a tile
     intensity  [value of black, value of white], null in colour
     planes     [{name,                the first is the one to look at first
                  edges,               the patient's side at the left, right, top, bottom ("" where unknown)
                  size,                width and height to show a slice in, in any one unit
                  tile, across,        width and height of a slice in the image, slices in a row of it
                  numbers, of,         the slices' numbers in the scan, and how many the scan has
                  start,               index of the slice to begin with
                  image,               data address of all slices
                  outlines}]           [mask][slice][class] -> rings; [mask][slice] may be []. A ring is x, y of
                                       its first point, then the steps to each next one; filled by even-odd

   A picture that has the focus takes the wheel, arrow keys, Page Up and Page Down, Home and End; a finger or the
   mouse drags through the slices sideways. Everything can be done with the keyboard alone. */
"use strict";
(() => {
  const HALO = "rgba(0, 0, 0, .65)";
  const FIRST = 27, OTHER = 14, ALONE = 34;   // heights of a picture at most: the first, the others, an only one; rem
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const ERRORS = [["too much", "#ff9d3c"], ["missed", "#55a8ff"], ["another class", "#f5f07a"]];
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const shown = (value) => Math.abs(value) >= 100 ? Math.round(value).toString() : value.toPrecision(3);

  function range(text, low, high, value, onInput, step = 1) {
    const input = element("input", { type: "range", min: low, max: high, step, value });
    const told = element("span");
    const label = element("label", {}, text, " ", told, input);
    input.addEventListener("input", () => onInput(Number(input.value)));
    return { input, told, label };
  }

  class Plane {
    constructor(viewer, facts) {
      this.viewer = viewer;
      this.facts = facts;
      this.index = facts.start;
      const [width, height] = facts.tile;
      this.canvas = element("canvas", { tabIndex: 0 });
      this.canvas.setAttribute("role", "img");
      const last = facts.numbers.length - 1;
      this.slider = range("", 0, last, this.index, (value) => this.go(value));
      this.slider.input.setAttribute("aria-label", `slice, ${facts.name}`);
      this.told = element("span");
      this.box = element("div", { className: "plane" }, this.canvas,
        element("div", { className: "where" }, element("span", { textContent: facts.name }), this.told));
      if (last > 0) this.box.append(this.slider.input);
      this.tile = element("canvas", { width, height });
      this.pixels = this.tile.getContext("2d", { willReadFrequently: true });
      this.listen();
    }

    async load() {
      const image = new Image();
      image.src = this.facts.image;
      await image.decode();
      this.image = image;
      this.fit();
    }

    /* The canvas has the screen's own pixels, so that outlines are sharp at any size. */
    fit() {
      const [width, height] = this.facts.size;
      const wide = this.canvas.clientWidth, dense = window.devicePixelRatio || 1;
      if (!wide || !this.image) return;
      this.canvas.width = Math.round(wide * dense);
      this.canvas.height = Math.max(1, Math.round(wide * dense * height / width));
      this.draw();
    }

    go(index) {
      this.index = clamp(index, 0, this.facts.numbers.length - 1);
      this.slider.input.value = this.index;
      this.draw();
    }

    listen() {
      const last = this.facts.numbers.length - 1, page = Math.max(1, Math.round(last / 8));
      const moves = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1,
        PageUp: page, PageDown: -page, Home: -last, End: last };
      this.canvas.addEventListener("keydown", (event) => {
        if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey || last === 0) return;
        event.preventDefault();
        this.go(this.index + moves[event.key]);
      });
      this.canvas.addEventListener("wheel", (event) => {
        if (document.activeElement !== this.canvas || last === 0 || event.ctrlKey) return;
        event.preventDefault();
        this.go(this.index - Math.sign(event.deltaY));
      }, { passive: false });
      let from = null;
      this.canvas.addEventListener("pointerdown", (event) => {
        from = { x: event.clientX, index: this.index };
        this.canvas.setPointerCapture(event.pointerId);
        this.canvas.focus({ preventScroll: true });
      });
      this.canvas.addEventListener("pointermove", (event) => {
        if (from === null) return;
        const part = (event.clientX - from.x) / this.canvas.clientWidth;
        this.go(from.index + Math.round(part * last));
      });
      for (const end of ["pointerup", "pointercancel"]) {
        this.canvas.addEventListener(end, () => { from = null; });
      }
    }

    draw() {
      if (!this.image) return;
      const { facts, canvas, index } = this;
      const [width, height] = facts.tile;
      const x = width * (index % facts.across), y = height * Math.floor(index / facts.across);
      this.pixels.drawImage(this.image, x, y, width, height, 0, 0, width, height);
      this.viewer.windowed(this.pixels, width, height);
      const to = canvas.getContext("2d");
      to.imageSmoothingQuality = "high";
      to.drawImage(this.tile, 0, 0, canvas.width, canvas.height);
      if (this.viewer.errors) this.drawErrors(to);
      this.drawMasks(to);
      this.drawEdges(to);
      const where = `slice ${facts.numbers[index]} of ${facts.of}`;
      this.told.textContent = facts.numbers.length > 1 ? where : "";
      this.slider.input.setAttribute("aria-valuetext", where);
      canvas.setAttribute("aria-label", `${this.viewer.record.case}, ${facts.name}, ${where}`);
    }

    drawMasks(to) {
      const { record, visible, fill, outlined } = this.viewer;
      const dense = window.devicePixelRatio || 1, line = 1.6 * dense;
      to.lineJoin = "round";
      for (const wanted of ["fill", "halo", "line"]) {
        record.masks.forEach((mask, m) => {
          if (!visible[m] || (wanted === "fill" && mask.reference)) return;
          const classes = this.facts.outlines[m][this.index];
          classes.forEach((rings, k) => {
            if (!rings.length) return;
            const path = this.path(rings);
            const colour = mask.colour ?? record.classes[k][mask.reference ? "reference" : "colour"];
            if (wanted === "fill") {
              if (fill === 0 || this.viewer.errors) return;
              to.globalAlpha = fill;
              to.fillStyle = colour;
              to.fill(path, "evenodd");
              to.globalAlpha = 1;
            } else if (outlined) {
              to.setLineDash(wanted === "halo" ? [] : mask.dash.map((length) => length * dense));
              to.lineWidth = wanted === "halo" ? line + 1.6 * dense : line;
              to.strokeStyle = wanted === "halo" ? HALO : colour;
              to.stroke(path);
            }
          });
        });
      }
      to.setLineDash([]);
    }

    /* What the first mask shown has too much of, what it has missed, and where it took one class for another. */
    drawErrors(to) {
      const { width, height } = this.canvas, { record, visible } = this.viewer;
      const reference = record.masks.findIndex((mask) => mask.reference);
      const first = Math.max(0, record.masks.findIndex((mask, m) => visible[m] && !mask.reference));
      const layer = () => Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
      const without = (a, b, colour) => {   // of every class: a less b
        const all = layer();
        record.classes.forEach((_, k) => {
          const one = layer(), [inside, outside] = [a, b].map((m) => this.facts.outlines[m][this.index][k] ?? []);
          one.fillStyle = colour;
          one.fill(this.path(inside), "evenodd");
          one.globalCompositeOperation = "destination-out";
          one.fill(this.path(outside), "evenodd");
          all.drawImage(one.canvas, 0, 0);
        });
        return all;
      };
      const [more, less, other] = ERRORS.map(([, colour]) => colour);
      const much = without(first, reference, more), missed = without(reference, first, less);
      const both = without(first, reference, other);
      both.globalCompositeOperation = "destination-in";
      both.drawImage(missed.canvas, 0, 0);
      to.globalAlpha = 0.75;
      for (const one of [much, missed, both]) to.drawImage(one.canvas, 0, 0);
      to.globalAlpha = 1;
    }

    path(rings) {
      const [width, height] = this.facts.tile, units = this.viewer.record.units;
      const h = this.canvas.width / width / units, v = this.canvas.height / height / units;
      const path = new Path2D();
      for (const ring of rings) {
        let [x, y] = ring;
        path.moveTo(x * h, y * v);
        for (let i = 2; i < ring.length; i += 2) path.lineTo((x += ring[i]) * h, (y += ring[i + 1]) * v);
        path.closePath();
      }
      return path;
    }

    drawEdges(to) {
      const { width, height } = this.canvas, dense = window.devicePixelRatio || 1, off = 4 * dense;
      const [left, right, top, bottom] = this.facts.edges;
      if (height < 60 * dense) return;
      to.font = `600 ${11 * dense}px system-ui, sans-serif`;
      to.lineWidth = 3 * dense;
      to.strokeStyle = HALO;
      to.fillStyle = "#fff";
      const write = (text, x, y, align, baseline) => {
        to.textAlign = align;
        to.textBaseline = baseline;
        to.strokeText(text, x, y);
        to.fillText(text, x, y);
      };
      write(left, off, height / 2, "left", "middle");
      write(right, width - off, height / 2, "right", "middle");
      write(top, width / 2, off, "center", "top");
      write(bottom, width / 2, height - off, "center", "bottom");
    }
  }

  class Viewer {
    constructor(box, record) {
      this.box = box;
      this.record = record;
      this.fill = 0.25;
      this.outlined = true;
      this.errors = false;
      this.level = 127.5;
      this.width = 255;
      const others = record.masks.some((mask) => !mask.reference);
      // of several methods the first is shown, with the reference; the others wait for a click
      this.visible = record.masks.map((mask, m) => mask.reference || m === 0 || !others);
      this.planes = record.planes.map((facts) => new Plane(this, facts));
      this.build();
    }

    build() {
      const { record, planes } = this;
      const row = element("div", { className: "planes" }, planes[0].box);
      if (planes.length > 1) {
        row.append(element("div", { className: "others" }, ...planes.slice(1).map((plane) => plane.box)));
      }
      planes.forEach((plane, p) => {
        const [width, height] = plane.facts.size, alone = planes.length === 1;
        const tallest = alone ? ALONE : p === 0 ? FIRST : OTHER;
        const most = p === 0 && !alone ? "57%" : "100%";
        plane.box.style.setProperty("--wide", `min(${most}, ${(tallest * width / height).toFixed(2)}rem)`);
      });
      // out of sight until all is drawn: what is printed meanwhile is the picture that stands there
      const live = element("div", { className: "live waiting" }, row, this.maskControls(), this.pictureControls());
      this.box.append(live);
      new ResizeObserver(() => planes.forEach((plane) => plane.fit())).observe(row);
      Promise.all(planes.map((plane) => plane.load())).then(() => {
        this.box.replaceChildren(live);
        live.classList.remove("waiting");
      });
    }

    maskControls() {
      const set = element("fieldset", { className: "masks" });
      set.setAttribute("aria-label", "Masks shown");
      this.record.masks.forEach((mask, m) => {
        const box = element("input", { type: "checkbox", checked: this.visible[m] });
        box.addEventListener("change", () => { this.visible[m] = box.checked; this.draw(); });
        set.append(element("label", {}, box, swatch(mask, this.record.classes), mask.name));
      });
      const outlines = element("input", { type: "checkbox", checked: this.outlined });
      outlines.addEventListener("change", () => { this.outlined = outlines.checked; this.draw(); });
      set.append(element("label", {}, outlines, "outlines"));
      const masks = this.record.masks;
      if (masks.some((mask) => mask.reference) && masks.some((mask) => !mask.reference)) {
        const errors = element("input", { type: "checkbox" });
        const several = this.record.classes.length > 1;
        const keys = ERRORS.slice(0, several ? 3 : 2).map(([name, colour]) =>
          element("span", { className: "key", hidden: true }, patch(colour), name));
        errors.addEventListener("change", () => {
          this.errors = errors.checked;
          keys.forEach((key) => { key.hidden = !errors.checked; });
          this.draw();
        });
        set.append(element("label", {}, errors, "errors"), ...keys);
      }
      return set;
    }

    pictureControls() {
      const { intensity } = this.record;
      const real = (value) => intensity === null ? Math.round(value).toString()
        : shown(intensity[0] + value * (intensity[1] - intensity[0]) / 255);
      const wide = (value) => intensity === null ? Math.round(value).toString()
        : shown(value * (intensity[1] - intensity[0]) / 255);
      // in grey values of the image; a window may be wider than the data, and lie beside them
      const scale = intensity === null ? 1 : 255 / (intensity[1] - intensity[0]);
      const presets = this.record.windows.map(({ name, window, level }) =>
        ({ name, width: window * scale, level: (level - intensity[0]) * scale }));
      const widest = Math.max(510, ...presets.map((preset) => preset.width));
      const levels = [0, 255, ...presets.map((preset) => preset.level)];
      const low = Math.min(...levels) - 128, high = Math.max(...levels) + 128;
      const level = range("level", low, high, this.level, (value) => { this.level = value; tell(); }, 0.5);
      const width = range("window", 1, widest, this.width, (value) => { this.width = value; tell(); }, 0.5);
      const fill = range("fill", 0, 100, 100 * this.fill, (value) => { this.fill = value / 100; tell(); });
      const tell = () => {
        level.told.textContent = real(this.level);
        width.told.textContent = wide(this.width);
        fill.told.textContent = `${Math.round(100 * this.fill)} %`;
        this.draw();
      };
      const button = (name, wide, middle) => {
        const made = element("button", { type: "button", textContent: name });
        made.addEventListener("click", () => {
          [this.width, this.level] = [wide, middle];
          [width.input.value, level.input.value] = [wide, middle];
          tell();
        });
        return made;
      };
      const buttons = element("div", { className: "presets" }, "window",
        ...presets.map((preset) => button(preset.name, preset.width, preset.level)), button("reset", 255, 127.5));
      tell();
      const sliders = element("div", { className: "controls" }, width.label, level.label, fill.label);
      return element("div", {}, sliders, buttons);
    }

    draw() { this.planes.forEach((plane) => plane.draw()); }

    /* Window and level, on the pixels of one tile. */
    windowed(pixels, width, height) {
      if (this.width === 255 && this.level === 127.5) return;
      const low = this.level - this.width / 2, scale = 255 / this.width;
      const picture = pixels.getImageData(0, 0, width, height), data = picture.data;
      for (let i = 0; i < data.length; i += 4) {
        for (let c = i; c < i + 3; c += 1) data[c] = (data[c] - low) * scale;   // the array clamps
      }
      pixels.putImageData(picture, 0, 0);
    }
  }

  /* A mask's line on a dark ground, as it lies on the picture; in the classes' colours where those count. */
  function swatch(mask, classes) {
    const canvas = element("canvas", { className: "swatch", width: 54, height: 30 });
    const to = canvas.getContext("2d");
    const whose = mask.reference ? "reference" : "colour";
    const colours = mask.colour === null ? classes.slice(0, 3).map((one) => one[whose]) : [mask.colour];
    to.lineWidth = 5;
    to.setLineDash(mask.dash.map((length) => 2 * length));
    colours.forEach((colour, k) => {
      to.strokeStyle = colour;
      to.beginPath();
      to.moveTo(6 + 42 * k / colours.length, 15);
      to.lineTo(6 + 42 * (k + 1) / colours.length, 15);
      to.stroke();
    });
    return canvas;
  }

  function patch(colour) {
    const made = element("span", { className: "swatch" });
    made.style.background = colour;
    return made;
  }

  /* A viewer is built when it comes near the screen: decoding all at once would hold up the page. */
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      new Viewer(target, JSON.parse(document.getElementById(target.dataset.viewer).textContent));
    }
  }, { rootMargin: "600px" });
  document.querySelectorAll("[data-viewer]").forEach((box) => near.observe(box));
})();
