// The words round the plot that come from the daemon's status: what is recorded, from where, for whom, and what was lost.
// Apart from `view.js` so that the ledger, for which people trust this daemon, can be read on one screen.

import { NEEDS_TOKEN } from "./wire.js";

const by = (id) => document.getElementById(id);
const count = (n) => Number(n).toLocaleString("en");

/** Sets a text only where it changed: a screen reader is not made to repeat itself, and the browser lays nothing out anew. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes the options of `select` from `[value, text]`, without disturbing a list that is right already. */
export function fillSelect(select, options, chosen) {
  const key = JSON.stringify(options);
  if (select.dataset.key !== key) select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  select.dataset.key = key;
  select.value = chosen;
}

/** `status` is the JSON of `/api/v1/status`, or null when `why` says why there is none: old numbers must not pass for new ones. */
export function showStatus(status, why) {
  const { recording } = status ?? {};
  by("recording").dataset.active = Boolean(recording?.active);
  say(by("recording-file"), !status ? `unknown: ${why}` : recording?.active ? fileName(recording.file) : "off");
  by("login").hidden = why !== NEEDS_TOKEN;
  say(by("recording-minutes"), [recording?.active && minutes(recording.seconds), left(recording?.hours_left), behind(recording?.backlog)].filter(Boolean).join(", "));
  by("recording").title = recording?.active ? recording.file : "";
  // In a colour and in a word: what was simulated must never pass for a measurement.
  by("source").dataset.simulated = Boolean(status?.source?.simulated);
  say(by("source"), status ? `${status.source.kind}${status.source.simulated ? ", simulated" : ""}` : "–");
  say(by("rate"), status ? `${rate(status.rate_hz)}${channels(status)}` : "–");
  say(by("clients"), status ? count(status.clients) : "–");
}

const fileName = (path) => String(path ?? "").split("/").pop();
const rate = (hz) => (hz >= 1000 ? `${Number((hz / 1000).toFixed(4))} kHz` : `${Number((hz ?? 0).toFixed(3))} Hz`);
const channels = ({ streams }) => (streams?.length > 0 ? ` × ${Math.max(...streams.map((stream) => stream.channels.length))} ch` : "");
/** What the disk still holds: told before a recording begins, and while it runs. */
const left = (hours) => (typeof hours === "number" ? `${hours >= 1 ? `${Math.floor(hours).toLocaleString("en")} h` : `${Math.floor(hours * 60)} min`} left` : "");
const behind = (backlog) => (backlog && backlog.level !== "fine" ? `disk ${backlog.seconds.toFixed(0)} s behind` : "");
const minutes = (seconds) => (seconds < 60 ? `${Math.floor(seconds)} s` : `${(seconds / 60).toFixed(1)} min`);

/**
 * One cell per consumer, this page first: frames lost, with their causes. Red when it is not zero, and said in a word too,
 * because red alone is not seen by everyone. `flags` are what the newest blocks carried besides samples.
 */
export function showLedger(missing, ledger, flags) {
  const cells = [["", "this page", missing, "frames missing in what this page received"]];
  for (const [consumer, { expected, delivered, lost }] of Object.entries(ledger ?? {})) {
    const causes = Object.entries(lost ?? {}).filter(([, n]) => n > 0);
    const total = causes.reduce((sum, [, n]) => sum + n, 0);
    const why = causes.map(([cause, n]) => (causes.length > 1 ? `${cause} ${count(n)}` : cause)).join(", ");
    cells.push([why, consumer, total, `expected ${count(expected)}, delivered ${count(delivered)}, lost ${count(total)}`]);
  }
  const key = JSON.stringify([cells, flags, Boolean(ledger)]);
  if (by("ledger").dataset.key === key) return;
  by("ledger").dataset.key = key;
  const title = document.createElement("h2");
  title.textContent = "Lost frames";
  by("ledger").replaceChildren(title, ...cells.map(cell), ...flags.map(flag), ...(ledger ? [] : [flag("ledger unknown: the daemon gives no status")]));
}

function cell([why, consumer, lost, title]) {
  const p = Object.assign(document.createElement("p"), { className: lost > 0 ? "lost" : "", title });
  const number = document.createElement("b");
  number.textContent = lost > 0 ? `${count(lost)} lost` : "0";
  p.append(consumer, " ", number, why && ` (${why})`);
  return p;
}

function flag(text) {
  return Object.assign(document.createElement("p"), { className: "flag", textContent: text });
}
