// The training that follows from the page.

import * as desk from "./desk.js";
import { say, showTraining } from "./panel.js";
import { list } from "./scans.js";
import { now } from "./state.js";

export async function again() {
  try {
    showTraining(await desk.train(), now.about);
  } catch (error) {
    say(error.message);
  }
}

export async function watch() {
  try {
    const before = now.about.run;
    const state = await desk.training();
    showTraining(state, now.about);
    if (state.state === "done" && state.run !== before) {
      now.about = await desk.about();
      say(`${state.run} has learned from your labels: from now on masks are its own.`, true);
      await list();
      showTraining(state, now.about);
    }
  } catch { /* the server is gone, or busy: the next action tells */ }
}
