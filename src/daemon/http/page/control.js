// What a person can ask of the recorder: begin and end a recording, and put a marker on the signal. Everything that went
// wrong is said beside the buttons, in the daemon's own words, until the next thing is asked.

import { say } from "./panel.js";

const by = (id) => document.getElementById(id);
const ASK_FOR_MS = 60_000; // a disk that stalls is told by the daemon; a daemon that is gone, by this

let asking = false;
let active = null; // as the last status had it; null while that is unknown

/** Posts JSON. The daemon's answer, or an error in its words. */
async function post(path, body) {
  const answer = await fetch(`/api/v1/${path}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(ASK_FOR_MS),
  }).catch(() => { throw new Error("the daemon does not answer"); });
  const text = await answer.text();
  let said = {};
  try { said = JSON.parse(text); } catch { said = { error: text.trim() }; }
  if (!answer.ok) throw new Error(said.error || `refused with ${answer.status}`);
  return said;
}

/** What went wrong is red, and read out at once; the rest when there is time. */
function tell(text, bad) {
  by("told").dataset.bad = bad;
  by("told").role = bad ? "alert" : "status";
  by("told").ariaLive = bad ? "assertive" : "polite";
  say(by("told"), text);
}

/** Asks for one thing at a time: a second press while the disk is busy would be refused anyway. */
async function ask(work) {
  if (asking) return;
  asking = true;
  show();
  try {
    tell(await work(), false);
  } catch (error) {
    tell(error.message, true);
  }
  asking = false;
  show();
}

const fileName = (path) => String(path ?? "").split("/").pop();
const lost = ({ expected, delivered }) => (expected === delivered ? "nothing lost" : `${expected - delivered} lost`);

async function start() {
  const said = await post("recording/start", { name: by("record-name").value.trim() });
  if (said.pending) return said.pending;
  active = true;
  return `recording to ${fileName(said.file)}`;
}

async function stop() {
  const said = await post("recording/stop", {});
  if (said.pending) return said.pending;
  active = false;
  const text = `${fileName(said.file)}: ${said.seconds.toFixed(1)} s, ${said.ledger.delivered.toLocaleString("en")} frames, ${lost(said.ledger)}${said.trouble ? `; ${said.trouble}` : ""}`;
  if (said.trouble || said.ledger.expected !== said.ledger.delivered) throw new Error(text);
  return text;
}

async function mark() {
  const text = by("marker-text").value.trim();
  if (text === "") throw new Error("write what the marker should say");
  const { frame } = await post("markers", { text, origin: "page" });
  by("marker-text").value = "";
  return `“${text}” stands on frame ${frame.toLocaleString("en")}`;
}

function show() {
  say(by("record"), active ? "Stop" : "Record");
  by("record").dataset.active = Boolean(active);
  by("record").disabled = asking || active === null;
  by("record-name").hidden = Boolean(active);
  by("mark").disabled = asking || active === null;
}

/** `status` as in `panel.js`: what is recorded by whoever asked for it, this page or another. */
export function showControls(status) {
  const was = active;
  active = status ? Boolean(status.recording.active || (status.recording.wanted && status.recording.ended)) : null;
  if (was !== active) show();
}

by("recorder").addEventListener("submit", (event) => { event.preventDefault(); ask(active ? stop : start); });
by("marking").addEventListener("submit", (event) => { event.preventDefault(); ask(mark); });
show();
