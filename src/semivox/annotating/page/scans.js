// The way of a scan: opened, saved or set aside, and the next one.

import { fields, status } from "./beside.js";
import * as desk from "./desk.js";
import { Drawing } from "./drawing.js";
import { say, showScans } from "./panel.js";
import { now, unsaved, view } from "./state.js";

const $ = id => document.getElementById(id);
const MOST_TOLD = 3;
const LARGE = 2 ** 23;  // voxels, from which on a slice is shown before the rest is there

export async function open(asked) {
  if (now.busy) { say("One moment: the page is at work.", true); return; }
  if (!mayLeave()) return;
  await whileBusy("reading the scan …", async () => {
    const facts = await asked();
    if (!facts) {
      say("Every scan that is offered has a label or is open elsewhere. Choose one from the list to look at it.", true);
      await list();
      return;
    }
    Object.assign(now, { facts, drawing: null, saved: 0, seconds: 0, channel: 0, whole: new Set(facts.whole), axis: facts.dims === 2 ? 2 : 2 - facts.plane, from: null });
    view.expect(facts, now.about.classes);
    view.opacity(now.hidden ? 0 : now.opacity);
    view.choose(now.axis);
    fields();
    status();
    await voxels();
    $("wait").textContent = facts.version ? "reading the label …" : "asking the model …";
    const { mask, fault } = await firstMask(facts);
    now.drawing = new Drawing(facts.shape, facts.edges, mask, now.about.classes.find(row => row.ignore)?.number ?? null);
    if (facts.version) now.drawing.begunWithLabel(now.axis);
    now.from = fault ? "nothing" : facts.version ? "label" : "model";
    view.show(mask);
    view.crosshair = now.drawing.middle();
    await list();
    say([...passedOver(facts.unreadable ?? []), fault].filter(Boolean).join("\n"));
  });
  if (now.facts) desk.ready(now.facts.case).catch(() => {});
}

/** The chosen channel's voxels on the screen; of a large scan a slice first. */
export async function voxels() {
  const { facts, channel } = now;
  if (facts.shape.reduce((a, b) => a * b) > LARGE) {
    const slice = view.crosshair[2];
    view.first(await desk.slice(facts.case, channel, slice), slice);
  }
  view.load(await desk.image(facts.case, channel, part => { $("wait").textContent = `reading the scan … ${Math.round(100 * part)} %`; }));
}

/** What the reader begins with. Where the model fails one can draw all the same; a label that cannot be read stays. */
async function firstMask(facts) {
  if (facts.version) return { mask: await desk.label(facts.case), fault: "" };
  try {
    return { mask: await desk.mask(facts.case), fault: "" };
  } catch (error) {
    return { mask: new Uint8Array(facts.shape.reduce((a, b) => a * b)), fault: `There is no mask of the model: ${error.message}` };
  }
}

/** What is said of scans that would have been offered, but cannot be read. */
function passedOver(faults) {
  const told = faults.slice(0, MOST_TOLD).map(fault => `Passed over: ${fault}`);
  return faults.length > MOST_TOLD ? [...told, `and ${faults.length - MOST_TOLD} more`] : told;
}

function mayLeave() {
  return !unsaved() || confirm("What you drew is not saved. Leave it?");
}

export async function whileBusy(text, work) {
  now.busy = true;
  let done = false;
  $("wait").textContent = text;
  $("wait").hidden = false;
  try {
    await work();
    done = true;
  } catch (error) {
    say(error.message);
  } finally {
    now.busy = false;
    $("wait").hidden = true;
    document.body.dataset.scan = now.facts?.case ?? "";
    status();
  }
  return done;
}

export async function save(part) {
  const { facts, drawing } = now;
  if (!facts || now.busy) return;
  const planes = part ? drawing.counted() : [];
  const fault = part ? refused(planes) : "";
  if (fault) { say(fault); return; }
  const [{ axis, slices } = { slices: [] }] = planes, drawn = slices.length ? `${axis}:${slices.join(",")}` : "";
  const done = await whileBusy("saving …", async () => {
    const changes = drawing.changes;
    const whole = [...now.whole].sort((a, b) => a - b);
    facts.version = await desk.save(facts.case, facts.version, drawing.mask, now.seconds, drawn, whole);
    facts.whole = whole;
    Object.assign(now, { saved: changes, seconds: 0, from: "label" });
    await list();
  });
  const others = part && slices.length < facts.shape[axis] ? "The other slices count as not looked at." : "";
  if (done) say(["Saved.", others, notDrawn()].filter(Boolean).join(" "), true);
}

/** Why the slices that count cannot be saved without the others; "" where they can. */
function refused(planes) {
  if (!planes.length) return "No slice was drawn in yet. R marks the slice under the crosshair as looked at.";
  if (planes.length === 1) return "";
  const told = planes.map(({ axis, slices }) => `${slices.length} ${view.planeName(axis)}`).join(", ");
  return `Nothing was saved: slices of several planes were drawn (${told}), and a part is slices of one plane. S saves the whole label; or take back (Z) what was drawn in the other plane.`;
}

/** What is said of the classes without a tick. */
function notDrawn() {
  const names = now.about.classes.filter(row => !row.ignore && !now.whole.has(row.number)).map(row => row.name);
  return names.length ? `Not drawn, and left out: ${names.join(", ")}.` : "";
}

export async function mark(action) {
  if (!now.facts || now.busy) return;
  const note = action === "flag" ? prompt("What is odd about this scan? It is not offered again.", "") : "";
  if (note === null || !mayLeave()) return;
  if (!await whileBusy("", () => desk.mark(now.facts.case, action, note, now.seconds))) return;
  Object.assign(now, { saved: now.drawing?.changes ?? 0, whole: new Set(now.facts.whole) });
  await next();
}

export async function next() {
  const passed = now.facts ? [...now.passed, now.facts.case] : [];
  // where no other is left, those that were passed come again
  await open(async () => (await desk.next(passed).catch(() => null)) ?? desk.next(now.facts ? [now.facts.case] : []));
  if (now.facts) now.passed = passed;
}

export async function list() {
  showScans(await desk.scans(), now.facts?.case, scan => open(() => desk.open(scan)));
}
