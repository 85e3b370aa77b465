// Mouse, pen and fingers on the planes. One finger or the left button uses the tool; the right button sets the
// window; the middle one, or two fingers, move and zoom; the wheel goes through slices, with Ctrl it zooms.

const NOTCH = 40;  // of a wheel's way, a slice

/** `on`: {press(event), drag(event, down), release(), hover(event), slices(event, by), window(dx, dy), pan(event, dx, dy), zoom(event, factor), left()} */
export function follow(canvas, on) {
  const down = new Map();
  let action = null, way = 0;

  canvas.addEventListener("pointerdown", event => {
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event);
    if (down.size === 2) {
      if (action === "tool") on.release(true);
      action = "pinch";
    } else if (down.size === 1) {
      action = { 0: "tool", 1: "pan", 2: "window" }[event.button] ?? null;
      if (action === "tool") on.press(event);
    }
  });

  canvas.addEventListener("pointermove", event => {
    const before = down.get(event.pointerId);
    on.hover(event);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    if (action === "tool") on.drag(event);
    if (action === "window") on.window(dx, dy);
    if (action === "pan") on.pan(event, dx, dy);
    if (action === "pinch") {
      const other = [...down.values()].find(each => each.pointerId !== event.pointerId);
      if (other) {
        const far = each => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY) || 1;
        on.zoom(event, far(event) / far(before));
        on.pan(event, dx / 2, dy / 2);
      }
    }
    down.set(event.pointerId, event);
  });

  const up = event => {
    if (!down.delete(event.pointerId)) return;
    if (action === "tool") on.release(false);
    if (!down.size) action = null;
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => { if (!down.size) on.left(); });
  canvas.addEventListener("contextmenu", event => event.preventDefault());
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    if (event.ctrlKey) { on.zoom(event, Math.exp(-event.deltaY / 300)); return; }
    way += event.deltaMode === 1 ? event.deltaY * NOTCH : event.deltaY;
    const by = Math.trunc(way / NOTCH);
    if (!by) return;
    way = 0;
    on.slices(event, -Math.sign(by));
  }, { passive: false });
}
