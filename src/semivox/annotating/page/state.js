// What the page knows now: the scan, its drawing and what the reader chose; and where they are shown.

import { View } from "./view.js";

export const view = new View(document.getElementById("stage"));
export const now = {
  about: null, facts: null, drawing: null, saved: 0, tool: "brush", value: 1, size: 4, axis: 2, pen: false,
  seconds: 0, active: 0, hidden: false, whole: new Set(), opacity: 0.45, busy: false, passed: [],
};

/** Whether something was drawn, or a tick set, since the last save. */
export const unsaved = () => now.drawing !== null && (now.drawing.changes !== now.saved || !same(now.whole, now.facts.whole));
const same = (set, list) => set.size === list.length && list.every(each => set.has(each));
