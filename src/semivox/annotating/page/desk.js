// What the page asks the server, and who asks. Refusals become Error objects with the server's words.

const kept = (store, key, make) => store.getItem(key) || (store.setItem(key, make()), store.getItem(key));
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), b => b.toString(16).padStart(2, "0")).join("");

/** This page: another one of the same reader is another holder. A reload stays the same. */
export const holder = kept(sessionStorage, "semivox-holder", random);
let reader = localStorage.getItem("semivox-reader") || "";

export function setReader(name) {
  reader = name.trim();
  localStorage.setItem("semivox-reader", reader);
}
export const readerName = () => reader;

async function answer(path, options) {
  let got;
  try {
    got = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw Object.assign(new Error("the server does not answer: is semivox annotate still running?"), { status: 0 });
  }
  if (got.ok) return got;
  let text = `${got.status} ${got.statusText}`;
  try { text = (await got.json()).error; } catch { /* no words of ours */ }
  throw Object.assign(new Error(text), { status: got.status });
}

const who = () => ({ holder, reader });
const send = (path, content) => answer(path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...who(), ...content }),
});
const query = given => new URLSearchParams(given).toString();
const json = async got => (await got).json();
const bytes = async got => { got = await got; return got.status === 204 ? null : new Uint8Array(await got.arrayBuffer()); };

export const about = () => json(answer("api/about"));
export const scans = () => json(answer(`api/scans?${query(who())}`));
export const open = scan => json(send("api/open", { case: scan }));
export const next = besides => json(send("api/next", { besides }));
export const ready = scan => send("api/ready", { case: scan });
export const stay = scan => send("api/stay", { case: scan });
export const mark = (scan, action, note, seconds) => send("api/mark", { case: scan, action, note, seconds });
/** Voxels as they lie in memory, first axis fastest; `told(part)` says how much is there. */
export async function image(scan, channel, told = () => {}) {
  const got = await answer(`api/image?${query({ case: scan, channel })}`);
  const whole = new Uint8Array(Number(got.headers.get("content-length"))), reader = got.body.getReader();
  for (let at = 0; ;) {
    const { done, value } = await reader.read();
    if (done && at < whole.length) throw new Error("the scan came in part only: open it again");
    if (done) return whole.buffer;
    whole.set(value, at);
    at += value.length;
    told(at / whole.length);
  }
}
export const slice = async (scan, channel, number) => (await answer(`api/image?${query({ case: scan, channel, slice: number })}`)).arrayBuffer();
export const label = scan => bytes(answer(`api/label?${query({ case: scan })}`));
export const mask = scan => bytes(answer(`api/mask?${query({ case: scan })}`));
export const training = () => json(answer("api/train"));
export const train = () => json(send("api/train", {}));
export const halt = () => send("api/train/stop", {});

/** The mask, a byte a voxel, first axis fastest. `drawn`: "AXIS:SLICE,..." or ""; `classes`: numbers of those drawn throughout. Returns the new version. */
export async function save(scan, version, mask, seconds, drawn, classes) {
  const headers = { "content-type": "application/octet-stream" };
  let body = mask;
  if (typeof CompressionStream === "function") {
    headers["content-encoding"] = "gzip";
    body = await new Response(new Blob([mask]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
  }
  const asked = query({ ...who(), case: scan, version, seconds: seconds.toFixed(1), classes: classes.join(","), ...(drawn ? { drawn } : {}) });
  return (await json(answer(`api/save?${asked}`, { method: "POST", headers, body }))).version;
}

export function leave() {
  navigator.sendBeacon("api/leave", new Blob([JSON.stringify(who())], { type: "application/json" }));
}
