// What stands beside the scan: classes, scans, the training, and messages. Names come from others: text only.

const $ = id => document.getElementById(id);

function made(tag, text, more = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...more });
}

let quiet = 0;
/** A message over the scan; a good one goes by itself, a bad one when it is clicked or the next work is done. */
export function say(text, good = false) {
  const box = $("message");
  clearTimeout(quiet);
  box.hidden = !text;
  box.textContent = text;
  box.classList.toggle("good", good);
  box.onclick = () => { box.hidden = true; };
  if (good) quiet = setTimeout(() => { box.hidden = true; }, 4000);
}

/** `whole`: numbers of the classes that count as drawn throughout; `mark` changes one of them. */
export function showClasses(classes, chosen, choose, whole, mark) {
  const several = classes.filter(row => !row.ignore).length > 1;
  $("whole-of").hidden = !several;
  $("classes").replaceChildren(...classes.map(row => {
    const button = made("button", row.name, { type: "button", onclick: () => choose(row.number) });
    const swatch = made("span", "", { className: "swatch" });
    swatch.style.background = row.colour;
    button.prepend(swatch);
    if (row.number < 10) button.append(made("kbd", row.number));
    button.setAttribute("aria-pressed", row.number === chosen);
    const line = made("div", "", { className: "class" });
    line.append(button);
    if (several && !row.ignore) {
      line.append(made("input", "", {
        type: "checkbox", checked: whole.has(row.number), onchange: () => mark(row.number),
        title: `${row.name} is drawn wherever it is in this scan`, ariaLabel: `${row.name} drawn throughout`,
      }));
    }
    return line;
  }));
}

const STATES = { save: "saved", skip: "skipped", flag: "flagged", back: "" };

export function showScans(rows, current, open) {
  $("count").textContent = `${rows.filter(row => row.labeled).length} of ${rows.length} labelled`;
  $("scans").replaceChildren(...rows.map(row => {
    const item = document.createElement("li");
    const button = made("button", row.case, { type: "button", onclick: () => open(row.case), title: row.note || row.reason });
    const state = row.open_with ? `with ${row.open_with}` : STATES[row.action] || (row.labeled ? "labelled" : "");
    button.prepend(made("small", state));
    if (row.case === current) button.setAttribute("aria-current", "true");
    item.append(button);
    return item;
  }));
}

export function showTraining(state, about) {
  $("run").textContent = about.run;
  const running = state.state === "running";
  const train = document.querySelector("button[data-do=train]"), halt = document.querySelector("button[data-do=halt]");
  train.disabled = running;
  halt.hidden = !running;
  $("progress").hidden = !running;
  if (state.steps) $("progress").value = state.step / state.steps;
  else $("progress").removeAttribute("value");
  const step = state.steps ? `, step ${state.step} of ${state.steps}` : "";
  $("training").textContent = {
    none: "", done: `${state.run} is done`, running: `${state.run}: ${state.phase || "beginning"}${step}`,
    stopped: `${state.run} was stopped${step}; Train again goes on with it`, failed: `${state.run} failed:\n${state.said}`,
  }[state.state];
}
