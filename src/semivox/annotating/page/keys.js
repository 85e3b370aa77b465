// Every key and what it does, once: the buttons, the help and the keyboard are made of this table.

export const KEYS = [
  ["save", "S", "Save"],
  ["part", "Shift+S", "Save drawn slices only"],
  ["next", "N", "Next scan"],
  ["skip", "K", "Skip"],
  ["flag", "G", "Flag"],
  ["brush", "B", "Brush"],
  ["eraser", "E", "Eraser"],
  ["threshold", "T", "Threshold"],
  ["fill", "F", "Fill"],
  ["look", "L", "Look"],
  ["interpolate", "I", "Interpolate"],
  ["model", "M", "Model's mask"],
  ["undo", "Z", "Undo"],
  ["redo", "Y", "Redo"],
  ["smaller", "[", "Smaller brush"],
  ["larger", "]", "Larger brush"],
  ["hide", "X", "Hide or show the mask"],
  ["fainter", "-", "Fainter mask"],
  ["stronger", "+", "Stronger mask"],
  ["window", "W", "Usual window"],
  ["view", "V", "Other view"],
  ["nearer", ".", "Zoom in"],
  ["farther", ",", "Zoom out"],
  ["plane", "P", "Other plane for the keyboard"],
  ["whole", "C", "Class drawn, or not"],
  ["mark", "R", "Slice looked at"],
  ["use", "Space", "Use the tool at the crosshair"],
  ["pen", "D", "Pen down or up"],
  ["train", "Shift+T", "Train again"],
  ["halt", "Shift+H", "Stop the training"],
  ["help", "?", "Help"],
];
export const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 1], ArrowDown: [1, -1], PageUp: [2, 1], PageDown: [2, -1] };

const BY_KEY = new Map(KEYS.map(([name, key]) => [key.toLowerCase(), name]));

/** The action of a key press, {name} or {number} of a class or {move}; null for keys of the browser. */
export function actionOf(event) {
  if (event.altKey) return null;
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    if (key === "z") return { name: event.shiftKey ? "redo" : "undo" };
    if (key === "y") return { name: "redo" };
    if (key === "s") return { name: "save" };
    return null;
  }
  if (event.key in MOVES) return { move: MOVES[event.key] };
  if (/^[0-9]$/.test(event.key)) return { number: Number(event.key) };
  const key = event.key === " " ? "space" : event.key.toLowerCase();
  const name = (event.shiftKey && BY_KEY.get(`shift+${key}`)) || BY_KEY.get(key);
  return name ? { name } : null;
}

/** Words and keys on the buttons, and the list in the help. */
export function label(root) {
  for (const [name, key, text] of KEYS) {
    for (const button of root.querySelectorAll(`button[data-do="${name}"]`)) {
      if (name === "help") { button.title = `${text} (${key})`; continue; }
      button.textContent = `${text} `;
      button.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    }
  }
  const rows = [...KEYS.map(([, key, text]) => [key, text]), ["1 … 9", "Class"], ["0", "Eraser"]];
  root.querySelector("#keys").replaceChildren(...rows.map(([key, text]) => {
    const row = document.createElement("div"), term = document.createElement("dt");
    term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    row.append(term, Object.assign(document.createElement("dd"), { textContent: text }));
    return row;
  }));
}
