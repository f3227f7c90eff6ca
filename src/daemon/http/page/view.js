// The live page: joins the connection, the history and the plot, and listens to the person in front of it. Every choice is
// kept in this browser only; the daemon is never told anything.

import { Envelope, HOLE } from "./envelope.js";
import { AXIS_PX, Plot, lostText, niceAbove, unfit, volts } from "./plot.js";
import { showControls } from "./control.js";
import { fillSelect, say, showLedger, showStatus } from "./panel.js";
import { FLAGS, Wire, followStatus } from "./wire.js";

const TIME_BASES_S = [1, 2, 5, 10, 20, 30];
const ROW_PX_MIN = 9; // thinner rows go to another page
const SILENT_AFTER_MS = 2000;
const FIT_EVERY_MS = 3000;
const STORE = "biosigd.view";
const LEAD_OFF = "lead off";
const NAMED_MAX = 8; // channels in a note; the rest is a number

const by = (id) => document.getElementById(id);
const keep = { stream: "", timeBaseS: 10, uvPerRow: 100, auto: true, theme: "", hidden: [], mean: {}, ...recall() };
const plot = new Plot(by("traces"), by("lane"));
const now = {
  stream: null, shape: "", resumed: false, env: null, frozen: null, flagged: {}, status: null, electrodes: new Map(),
  missing: 0, framesDrawn: 0, fps: 0, page: 0, utcMs: 0, heardMs: 0, fitMs: 0,
  state: "connecting", why: "", retryAtMs: 0,
};

/** For the browser's test and for the curious: read-only numbers. */
window.biosigd = Object.defineProperties({}, Object.fromEntries(Object.entries({
  framesDrawn: () => now.framesDrawn,
  framesReceived: () => (now.env && now.env.nextFrame >= 0 ? now.env.nextFrame - now.env.firstFrame : 0),
  missing: () => now.missing,
  fps: () => now.fps,
  channels: () => now.stream?.channels.length ?? 0,
  rateHz: () => now.stream?.rate_hz ?? 0,
  uvPerRow: () => keep.uvPerRow,
  timeBaseS: () => keep.timeBaseS,
  paused: () => now.frozen !== null,
  state: () => now.state,
}).map(([name, get]) => [name, { get, enumerable: true }])));

/** What was chosen the last time; nothing where the browser keeps nothing. */
function recall() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}

function remember() {
  try {
    localStorage.setItem(STORE, JSON.stringify(keep));
  } catch {
    // A browser that keeps nothing is no reason to show nothing.
  }
}

// ---- what arrives -------------------------------------------------------------------------------------------------

const wire = new Wire({ hello, block, marker, state });

/** The same stream of the same session goes on in the same picture; anything else begins an empty one. */
function hello(stream, { session, version }) {
  const shape = JSON.stringify([session, stream.name, stream.rate_hz, stream.channels]);
  now.resumed = shape === now.shape;
  now.stream = stream;
  say(by("version"), `biosigd ${version}`);
  if (now.resumed) return;
  Object.assign(now, { shape, env: new Envelope(stream.rate_hz, stream.channels.length), frozen: null, missing: 0, page: 0, fitMs: 0, flagged: {} });
  plot.show(stream);
  plot.removeMean = keep.mean[stream.name] ?? stream.kind === "i32";
  listChannels();
  chooseRows();
  showChoices();
}

/**
 * Missing frames are counted as the header says; should the numbers of the frames tell of more, the numbers are right.
 * Frames that passed while this page was away are a hole in the picture, but nobody lost them.
 */
function block(block) {
  const { env } = now;
  const jump = env.nextFrame < 0 ? block.missing : block.first - env.nextFrame;
  if (jump < 0) return; // cannot happen within a session; a repeated frame would only be drawn twice
  const lost = now.resumed ? block.missing : Math.max(block.missing, jump);
  if (lost > 0) plot.addEvent({ frame: block.first - lost, lost, text: lostText(lost, 1), kind: "lost" });
  else if (jump > 0) plot.addEvent({ frame: env.nextFrame, text: "not connected", kind: "away" });
  now.missing += lost;
  env.add(block.first, block.nFrames, block.samples, lost > 0 ? HOLE.lost : HOLE.away);
  now.resumed = false;
  now.utcMs = block.utcMs + ((block.nFrames - 1) * 1000) / now.stream.rate_hz;
  now.heardMs = performance.now();
  if (block.flags & ~FLAGS.gap) {
    if (block.flags & FLAGS.suspect) now.flagged["suspect samples"] = now.heardMs;
    if (block.flags & FLAGS.saturated) now.flagged["saturated"] = now.heardMs;
    if (block.flags & FLAGS.leadOff) now.flagged[LEAD_OFF] = now.heardMs;
  }
}

function marker({ frame, offset_ns, duration_s, text }) {
  if (!now.stream) return;
  const rawHz = now.stream.rate_hz * now.stream.ratio;
  plot.addEvent({ rawFrame: frame + (offset_ns ?? 0) * 1e-9 * rawHz, text: duration_s > 0 ? `${text} (${duration_s.toFixed(2)} s)` : text, kind: "marker" });
}

function state(name, why, retryAtMs, reason) {
  by("state").title = reason ?? "";
  Object.assign(now, { state: name, why, retryAtMs, heardMs: performance.now() });
  showState();
}

followStatus((status, why) => {
  now.status = status;
  showStatus(status, why);
  showControls(status);
  showElectrodes(status?.source?.signs?.electrodes ?? []);
  const names = status?.streams?.map((stream) => stream.name) ?? [];
  const wanted = [keep.stream, "live", names.find((name) => name !== "raw"), "raw"].find((name) => names.includes(name));
  if (names.length > 0) fillSelect(by("stream"), names.map((name) => [name, name]), wire.name ?? wanted);
  if (!wire.name || (names.length > 0 && !names.includes(wire.name))) wire.open(wanted ?? (keep.stream || "live"));
});

// ---- what is drawn ------------------------------------------------------------------------------------------------

let [ticks, tickedMs, wordsMs] = [0, performance.now(), 0];

function tick(atMs) {
  requestAnimationFrame(tick);
  ticks++;
  if (atMs - tickedMs >= 1000) {
    now.fps = (ticks * 1000) / (atMs - tickedMs);
    [ticks, tickedMs] = [0, atMs];
  }
  if (atMs - wordsMs >= 100) {
    wordsMs = atMs;
    showWords(atMs);
  }
  const env = now.frozen ?? now.env;
  if (!env) return;
  if (!now.frozen && env.nextFrame >= 0) fit(env, atMs);
  now.framesDrawn += plot.draw(env);
}
requestAnimationFrame(tick);

/** Follows the signal's size, looking early at first and then now and then. */
function fit(env, atMs) {
  const seconds = (env.nextFrame - env.firstFrame) / env.rateHz;
  if (atMs < now.fitMs || seconds < Math.min(0.3, 2 / env.rateHz)) return;
  now.fitMs = atMs + (now.fitMs === 0 ? 1000 : FIT_EVERY_MS);
  if (seconds < 5) plot.stale = true; // the means were taken from very little
  const size = plot.fit(env);
  if (keep.auto && unfit(size, keep.uvPerRow)) setSensitivity(niceAbove(size), true);
}

function setSensitivity(uvPerRow, auto) {
  keep.uvPerRow = Math.min(1e7, Math.max(0.01, uvPerRow));
  keep.auto = auto;
  showChoices();
}

/** Which channels have rows: those not hidden, a page of them where they are too many for the height. */
function chooseRows() {
  if (!now.stream) return;
  const shown = now.stream.channels.flatMap(({ name }, c) => (keep.hidden.includes(name) ? [] : [c]));
  const perPage = Math.max(1, Math.floor((by("traces").clientHeight - AXIS_PX) / ROW_PX_MIN));
  const nPages = Math.max(1, Math.ceil(shown.length / perPage));
  const each = Math.ceil(shown.length / nPages);
  now.page = Math.max(0, Math.min(now.page, nPages - 1));
  plot.choose(shown.slice(now.page * each, (now.page + 1) * each));
  now.fitMs = Math.min(now.fitMs, performance.now());
  by("pages").hidden = nPages === 1;
  by("page-back").disabled = now.page === 0;
  by("page-on").disabled = now.page === nPages - 1;
  say(by("page"), `${now.page * each + 1}–${Math.min((now.page + 1) * each, shown.length)} of ${shown.length}`);
  say(by("channels-button"), shown.length === now.stream.channels.length ? "Channels" : `Channels ${shown.length}/${now.stream.channels.length}`);
}

new ResizeObserver(chooseRows).observe(by("traces"));

// ---- what is said -------------------------------------------------------------------------------------------------

function showState() {
  const silent = now.state === "live" && performance.now() - now.heardMs > SILENT_AFTER_MS + 3000 / now.stream.rate_hz;
  by("state").dataset.state = silent ? "silent" : now.state;
  say(by("state-name"), silent ? "connected, no frames" : now.why ? `${now.why}, reconnecting` : now.state);
  const waitS = Math.ceil((now.retryAtMs - performance.now()) / 1000);
  say(by("state-wait"), now.state === "reconnecting" && waitS > 0 ? `in ${waitS} s` : "");
  by("retry").hidden = now.state !== "reconnecting" || waitS < 2;
}

function showWords(atMs) {
  showState();
  const empty = !now.env || now.env.nextFrame < 0;
  by("empty").hidden = !empty && plot.rows.length > 0;
  say(by("empty"), empty ? "Waiting for the first frames" : "Every channel is hidden");
  if (now.utcMs) say(by("clock"), new Date(now.utcMs).toISOString().slice(11, 21));
  const flags = Object.keys(now.flagged).filter((name) => atMs - now.flagged[name] < 3000);
  say(by("complaints"), (now.status?.complaints ?? []).join("; "));
  if (now.status?.source?.simulated) flags.unshift("simulated, not measured");
  showLedger(now.missing, now.status?.ledger, flags.map((name) => (name === LEAD_OFF && plot.off.size > 0 ? `${name}: ${named(plot.off)}` : name)));
}

/** Electrodes as the status has them: off ones are marked at their channel's name, in the list, and for those who do not see the plot. */
function showElectrodes(electrodes) {
  now.electrodes = new Map(electrodes.map((electrode) => [electrode.channel, electrode]));
  const off = electrodes.filter((electrode) => electrode.off).map(({ channel }) => channel);
  if (off.join("\n") !== [...plot.off].join("\n")) Object.assign(plot, { off: new Set(off), stale: true });
  const label = "Signals of the chosen channels, swept from left to right";
  by("traces").ariaLabel = off.length > 0 ? `${label}; electrodes off: ${named(off)}` : label;
  describeChannels();
}

/** Some names, and how many more there are. */
function named(names) {
  const [some, rest] = [[...names].slice(0, NAMED_MAX), [...names].length - NAMED_MAX];
  return some.join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** What stands beside each name in the list: type and unit, and what is known of the electrode. */
function describeChannels() {
  const kinds = by("channel-list").querySelectorAll("small");
  now.stream?.channels.forEach(({ name, type, unit }, c) => {
    const { off, impedance_ohms: ohms } = now.electrodes.get(name) ?? {};
    const parts = [type, unit === "uV" ? "µV" : unit, ohms > 0 && `${Number((ohms / 1000).toPrecision(3))} kΩ`, off && "off ○"];
    if (kinds[c]) say(kinds[c], parts.filter(Boolean).join(" · "));
  });
}

function showChoices() {
  fillSelect(by("time-base"), TIME_BASES_S.map((s) => [s, `${s} s`]), keep.timeBaseS);
  say(by("sensitivity"), `${volts(keep.uvPerRow)} / row`);
  by("auto").ariaPressed = keep.auto;
  by("mean").ariaPressed = plot.removeMean;
  by("pause").dataset.on = now.frozen !== null;
  say(by("pause"), now.frozen ? "Resume" : "Pause");
  const notes = [now.frozen && "paused, data goes on arriving", plot.removeMean && "mean removed for drawing only"].filter(Boolean);
  by("note").hidden = notes.length === 0;
  say(by("note"), notes.join("  ·  "));
  const dark = keep.theme ? keep.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  say(by("theme"), dark ? "Light" : "Dark");
  Object.assign(plot, { timeBaseS: keep.timeBaseS, uvPerRow: keep.uvPerRow, stale: true });
  remember();
}

function listChannels() {
  by("channel-list").replaceChildren(...now.stream.channels.map(({ name }) => {
    const box = Object.assign(document.createElement("input"), { type: "checkbox", value: name, checked: !keep.hidden.includes(name) });
    const label = document.createElement("label");
    label.append(box, name, document.createElement("small"));
    const item = document.createElement("li");
    item.append(label);
    return item;
  }));
  describeChannels();
}

// ---- what the person does -----------------------------------------------------------------------------------------

const steps = {
  less: () => setSensitivity(niceAbove(keep.uvPerRow * 1.01), false),
  more: () => setSensitivity(niceAbove(keep.uvPerRow / 2.6), false),
  auto: () => {
    now.fitMs = 0;
    setSensitivity(keep.uvPerRow, !keep.auto);
  },
  mean: () => {
    if (!now.stream) return;
    plot.removeMean = keep.mean[now.stream.name] = !plot.removeMean;
    showChoices();
  },
  pause: () => {
    now.frozen = now.frozen ? null : (now.env?.frozen() ?? null);
    showChoices();
  },
  theme: () => {
    keep.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    showChoices();
  },
  "page-back": () => turn(-1),
  "page-on": () => turn(1),
  "channels-button": () => {
    const open = (by("channels").hidden = !by("channels").hidden) === false;
    by("channels-button").ariaExpanded = open;
    if (open) by("channel-list").querySelector("input")?.focus();
    else by("channels-button").focus();
  },
  close: () => steps["channels-button"](),
  all: () => hide([]),
  none: () => hide(now.stream?.channels.map(({ name }) => name) ?? []),
  retry: () => wire.retryNow(),
};

function turn(pages) {
  now.page += pages;
  chooseRows();
}

function hide(names) {
  keep.hidden = names;
  for (const box of by("channel-list").querySelectorAll("input")) box.checked = !names.includes(box.value);
  chooseRows();
  remember();
}

function setTimeBase(index) {
  keep.timeBaseS = TIME_BASES_S[Math.max(0, Math.min(index, TIME_BASES_S.length - 1))];
  showChoices();
}

for (const [id, step] of Object.entries(steps)) by(id).addEventListener("click", step);
by("time-base").addEventListener("change", ({ target }) => setTimeBase(TIME_BASES_S.indexOf(Number(target.value))));
by("stream").addEventListener("change", ({ target }) => {
  keep.stream = target.value;
  remember();
  wire.open(keep.stream);
});
by("channel-list").addEventListener("change", () => {
  hide([...by("channel-list").querySelectorAll("input:not(:checked)")].map((box) => box.value));
});

const KEYS = {
  "+": "more", "=": "more", ArrowUp: "more", "-": "less", ArrowDown: "less", PageUp: "page-back", PageDown: "page-on",
  " ": "pause", a: "auto", m: "mean", c: "channels-button", t: "theme",
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape" && !by("channels").hidden) return steps.close();
  const { target } = event;
  if (target.closest("select, input") || (event.key === " " && target.closest("button"))) return; // these have keys of their own
  const step = steps[KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]];
  if (step) step();
  else if (event.key === "ArrowLeft") setTimeBase(TIME_BASES_S.indexOf(keep.timeBaseS) - 1);
  else if (event.key === "ArrowRight") setTimeBase(TIME_BASES_S.indexOf(keep.timeBaseS) + 1);
  else return;
  event.preventDefault();
});

by("plot").addEventListener("wheel", ({ deltaY }) => by("pages").hidden || turn(Math.sign(deltaY)), { passive: true });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showChoices);
document.addEventListener("visibilitychange", () => document.hidden || wire.retryNow());
showChoices();
