// Does a person who opens the page of a running daemon see signals? Only a browser can tell: this opens the page in Chromium,
// looks at pixels, and keeps pictures for whoever wants to look too. It knows the page by `window.biosigd` and its canvas only.
//
//     node page.mjs URL OUTDIR [--expect-hole]
//
// CHROMIUM names the browser (default /usr/bin/chromium). Exit code 0 when all is as it should be, 1 with a sentence when not.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const DESKTOP = { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1, colorScheme: "light" };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "dark" };
const START_WITHIN_MS = 60_000; // the page, its connection and the first frames, on a busy machine
const MOVE_WITHIN_MS = 60_000;
const HOLE_WITHIN_MS = 60_000;
const PICTURE_S = 6; // of signal on a kept picture
const FPS_OVER = 120; // pictures over which the rate is taken
const MOVED_PIXELS_MIN = 200; // a sine of one channel moves more within half a second

const flags = process.argv.slice(2).filter((word) => word.startsWith("--"));
const [url, outDir] = process.argv.slice(2).filter((word) => !word.startsWith("--"));
if (!url || !outDir || flags.some((flag) => flag !== "--expect-hole")) {
  console.error("usage: node page.mjs URL OUTDIR [--expect-hole]");
  process.exit(64);
}

/** Waits until `condition`, run in the page, is true; otherwise fails with the sentence `otherwise`. */
async function until(page, condition, argument, timeout, otherwise) {
  try {
    return await page.waitForFunction(condition, argument, { timeout, polling: 100 });
  } catch (error) {
    if (error.name !== "TimeoutError") throw error;
    const numbers = await page.evaluate(() => (window.biosigd ? Object.keys(window.biosigd).map((name) => `${name} ${window.biosigd[name]}`).join(", ") : "no window.biosigd"));
    throw new Error(`${otherwise} within ${timeout / 1000} s (${numbers})`);
  }
}

/** Opens the page in a browser window of its own, collecting what it complains of. */
async function open(browser, shape, complaints, prepare = () => {}) {
  const page = await (await browser.newContext(shape)).newPage();
  await prepare(page);
  page.on("console", (line) => line.type() === "error" && !line.location().url.endsWith("/recording/start") && complaints.push(`console: ${line.text()}`));
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  page.on("response", (answer) => answer.status() >= 400 && !answer.url().endsWith("/recording/start") && complaints.push(`${answer.status()} for ${answer.url()}`));
  await page.goto(url, { timeout: START_WITHIN_MS });
  await until(page, () => window.biosigd?.framesDrawn > 0, null, START_WITHIN_MS, "no frame was drawn");
  const simulated = () => [...document.querySelectorAll("#ledger .flag")].some((flag) => flag.textContent === "simulated, not measured" && flag.checkVisibility());
  await until(page, simulated, null, START_WITHIN_MS, "nothing says that the signals are simulated");
  return page;
}

/** Keeps in the page which pixels are trace: neither ground nor grid nor cursor nor a hole. Answers how many. */
const lookAtTraces = () => {
  const canvas = document.querySelector("canvas");
  const style = getComputedStyle(canvas);
  const other = new Set(["ground", "grid", "line", "cursor", "lost", "lost-edge", "away", "away-edge", "marker"].map((name) => parseInt(style.getPropertyValue(`--${name}`).trim().slice(1), 16)));
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const trace = new Uint8Array(canvas.width * canvas.height);
  for (let i = 0; i < trace.length; i++) trace[i] = other.has((data[4 * i] << 16) | (data[4 * i + 1] << 8) | data[4 * i + 2]) ? 0 : 1;
  let moved = 0;
  if (window.traceBefore?.length === trace.length) for (let i = 0; i < trace.length; i++) moved += trace[i] !== window.traceBefore[i] ? 1 : 0;
  window.traceBefore ??= trace;
  return moved;
};

async function tracesMove(page) {
  await page.evaluate(lookAtTraces);
  const before = await page.evaluate(() => window.biosigd.framesDrawn);
  const frames = Math.max(1, (await page.evaluate(() => window.biosigd.rateHz)) / 2);
  await until(page, (n) => window.biosigd.framesDrawn >= n, before + frames, MOVE_WITHIN_MS, "framesDrawn did not grow by half a second of signal");
  const deadline = Date.now() + MOVE_WITHIN_MS;
  let moved = 0;
  while ((moved = await page.evaluate(lookAtTraces)) < MOVED_PIXELS_MIN) {
    if (Date.now() > deadline) throw new Error(`frames are counted as drawn, but only ${moved} pixels of the traces changed within ${MOVE_WITHIN_MS / 1000} s`);
  }
  console.log(`traces move: ${moved} pixels changed, ${(await page.evaluate(() => window.biosigd.framesDrawn)) - before} frames drawn in between`);
}

async function holeShows(page) {
  await until(page, () => window.biosigd.missing > 0, null, HOLE_WITHIN_MS, "no frame was missing");
  const tinted = await until(page, () => {
    const canvas = document.querySelector("canvas");
    const style = getComputedStyle(canvas);
    const tints = ["lost", "lost-edge"].map((name) => parseInt(style.getPropertyValue(`--${name}`).trim().slice(1), 16));
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) n += tints.includes((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]) ? 1 : 0;
    return n > canvas.height / 2 ? n : 0; // the narrowest hole is one column from top to bottom, with traces beside it
  }, null, HOLE_WITHIN_MS, "frames are missing, but no band of the hole's colour is drawn");
  console.log(`hole shows: ${await page.evaluate(() => window.biosigd.missing)} frames missing, ${await tinted.jsonValue()} pixels tinted`);
}

/** Puts into the answers of a daemon without chips what one with chips says: the electrode of the second channel is off, every block is suspect. */
async function withChips(page) {
  await page.route("**/api/v1/status", async (route) => {
    const answer = await route.fetch();
    const status = await answer.json();
    const [, { name: channel }, { name: measured }] = status.streams[0].channels;
    status.complaints = ["the converter gives no frames"];
    status.source.signs = { electrodes: [{ channel, off: true, impedance_ohms: null }, { channel: measured, off: false, impedance_ohms: 5230 }] };
    await route.fulfill({ response: answer, json: status });
  });
  await page.routeWebSocket(/v1.stream/, (socket) => {
    const daemon = socket.connectToServer();
    daemon.onMessage((message) => {
      if (typeof message !== "string") message[7] |= 2 | 8; // flags: suspect, lead-off
      socket.send(message);
    });
  });
}

/** The channel whose electrode is off is named below the plot, in its description and in the list, and marked beside the traces. */
async function electrodesShow(browser, shape, name, complaints) {
  const page = await open(browser, shape, complaints, withChips);
  const channel = await page.evaluate(() => document.querySelectorAll("#channel-list label")[1].childNodes[1].textContent);
  const shows = (channel) => {
    const notes = [...document.querySelectorAll("#ledger .flag")].map((flag) => flag.textContent);
    const kinds = [...document.querySelectorAll("#channel-list small")].map((small) => small.textContent);
    return notes.includes("suspect samples") && notes.includes(`lead off: ${channel}`) && document.querySelector("canvas").ariaLabel.endsWith(`electrodes off: ${channel}`)
      && kinds[1].endsWith("off ○") && kinds[2].endsWith("5.23 kΩ") && !kinds[0].includes("off");
  };
  await until(page, shows, channel, START_WITHIN_MS, `nothing says that the electrode of ${channel} is off and 5.23 kΩ beside it`);
  await until(page, isComplaint, ["complaints", "the converter gives no frames", "alert"], START_WITHIN_MS, "what the status complains of is not red, or not read out");
  const marked = await until(page, () => {
    const canvas = document.querySelector("canvas");
    const warn = getComputedStyle(canvas).getPropertyValue("--warn").trim().slice(1).match(/../g).map((two) => parseInt(two, 16));
    const { data, width } = canvas.getContext("2d").getImageData(0, 0, Math.min(50 * devicePixelRatio, canvas.width), canvas.height);
    const rows = [];
    // Near that colour: the strokes of letters are blended with the ground.
    const isWarn = (i) => warn.reduce((sum, part, k) => sum + Math.abs(part - data[i + k]), 0) < 60;
    for (let i = 0; i < data.length; i += 4) if (isWarn(i)) rows.push(Math.floor(i / 4 / width));
    return rows.length > 0 && { n: rows.length, from: rows[0], to: rows.at(-1), height: canvas.height };
  }, null, START_WITHIN_MS, "no channel's name is marked");
  const { n, from, to, height } = await marked.jsonValue();
  if (to - from > height / 10) throw new Error(`more than one row is marked: pixels ${from} to ${to} of ${height}`);
  await picture(page, name);
  console.log(`electrode off: ${channel} is marked with ${n} pixels, and named where no colour is seen`);
  await page.close();
}

/** What is wrong is said in red, where a screen reader reads it out. Runs in the page. */
const isComplaint = ([id, part, role]) => {
  const element = document.getElementById(id);
  const bad = getComputedStyle(document.documentElement).getPropertyValue("--bad").trim().slice(1).match(/../g).map((two) => parseInt(two, 16));
  return element.textContent.includes(part) && element.role === role && element.checkVisibility() && getComputedStyle(element).color === `rgb(${bad.join(", ")})`;
};

/** The connection ends, and stays away: the page says so, keeps what it drew, and tries again. */
async function connectionEnds(browser, shape, name, complaints) {
  const sockets = [];
  let isAway = false;
  const page = await open(browser, shape, complaints, (page) => page.routeWebSocket(/v1.stream/, (socket) => {
    if (isAway) return socket.close({ code: 1001, reason: "gone" });
    socket.connectToServer();
    sockets.push(socket);
  }));
  await until(page, (s) => window.biosigd.framesReceived >= s * window.biosigd.rateHz, 2, START_WITHIN_MS, "no two seconds of signal came");
  isAway = true;
  for (const socket of sockets) await socket.close({ code: 1001, reason: "gone" });
  await until(page, isComplaint, ["state-name", "reconnecting", "status"], START_WITHIN_MS, "nothing says in red that the connection is lost");
  await page.screenshot({ path: join(outDir, `${name}.png`) });
  isAway = false;
  await until(page, () => window.biosigd.state === "live", null, START_WITHIN_MS, "the page does not come back");
  console.log(`${name}: said in red, and back`);
  await page.close();
}

/** A person ends the recording, begins one with a name, marks the signal, and is told what went wrong. */
async function recordsOnRequest(page, name) {
  const told = (part, bad) => until(page, ([part, bad]) => { const told = document.getElementById("told"); return told.textContent.includes(part) && told.dataset.bad === String(bad); }, [part, bad], START_WITHIN_MS, `nothing says "${part}"`);
  const label = (text) => until(page, (text) => { const button = document.getElementById("record"); return button.textContent === text && !button.disabled; }, text, START_WITHIN_MS, `the button does not say ${text}`);
  await label("Stop");
  await page.click("#record");
  await told("nothing lost", false);
  await label("Record");
  await page.fill("#record-name", "../x");
  await page.click("#record");
  await told("no slashes", true);
  await until(page, isComplaint, ["told", "no slashes", "alert"], START_WITHIN_MS, "the refusal is not red, or not read out");
  await picture(page, `${name}-refused`);
  await page.fill("#record-name", "by hand");
  await page.click("#record");
  await told("recording to by_hand_", false);
  await label("Stop");
  await page.fill("#marker-text", "eyes closed");
  await page.press("#marker-text", "Enter");
  await told("stands on frame", false);
  await until(page, () => [...document.querySelectorAll("#lane span")].some((span) => span.textContent === "eyes closed"), null, START_WITHIN_MS, "the marker is not drawn");
  await picture(page, `${name}-recording`);
  console.log(`${name}: a recording was ended, refused with a reason, begun by name, and marked`);
}

/** Pictures per second, over a fixed number of them; `paint` also dirties the canvas, so that an idle one is drawn at all. */
const picturesPerSecond = (page, paint) => page.evaluate(([n, paint]) => new Promise((done) => {
  const ctx = document.querySelector("canvas").getContext("2d");
  let [drawn, began] = [-1, 0];
  const tick = (atMs) => {
    if (paint) ctx.fillRect(drawn % 1000, 10, 2, 2);
    if (++drawn === 0) began = atMs;
    if (drawn < n) requestAnimationFrame(tick);
    else done((1000 * n) / (atMs - began));
  };
  requestAnimationFrame(tick);
}), [FPS_OVER, paint]);

async function emptyCanvas(browser) {
  const page = await (await browser.newContext(DESKTOP)).newPage();
  await page.setContent('<body style="margin:0"><canvas width="1280" height="800"></canvas>');
  const fps = await picturesPerSecond(page, true);
  await page.close();
  return fps;
}

/** Keeps a picture with some seconds of signal on it, and makes sure that nothing hangs over the edge of the screen. */
async function picture(page, name) {
  await until(page, (s) => window.biosigd.framesReceived >= s * window.biosigd.rateHz, PICTURE_S, START_WITHIN_MS + 1000 * PICTURE_S, `fewer than ${PICTURE_S} s of signal came`);
  await page.screenshot({ path: join(outDir, `${name}.png`) });
  const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  const cut = await page.evaluate(() => [...document.querySelectorAll("p")].filter((p) => p.getBoundingClientRect().right > innerWidth).map((p) => p.textContent));
  if (cut.length > 0) throw new Error(`${name}: cut at the edge of the screen: ${cut}`);
  if (wide > width) throw new Error(`${name}: the page is ${wide} pixels wide on a screen of ${width}`);
}

async function run(browser) {
  const complaints = [];
  const desktop = await open(browser, DESKTOP, complaints);
  await tracesMove(desktop);
  if (flags.includes("--expect-hole")) await holeShows(desktop);
  await picture(desktop, "desktop");
  const fps = await picturesPerSecond(desktop, false);
  if (!flags.includes("--expect-hole")) await recordsOnRequest(desktop, "desktop");
  await desktop.close();
  const phone = await open(browser, PHONE, complaints);
  await picture(phone, "phone");
  if (!flags.includes("--expect-hole")) await recordsOnRequest(phone, "phone");
  await phone.close();
  await electrodesShow(browser, DESKTOP, "electrodes-desktop", complaints);
  await electrodesShow(browser, PHONE, "electrodes-phone", complaints);
  if (!flags.includes("--expect-hole")) {
    await connectionEnds(browser, DESKTOP, "away-desktop", complaints);
    await connectionEnds(browser, PHONE, "away-phone", complaints);
  }
  console.log(`${fps.toFixed(1)} pictures per second; an empty canvas of that size: ${(await emptyCanvas(browser)).toFixed(1)}`);
  if (complaints.length > 0) throw new Error(`the page complained:\n  ${complaints.join("\n  ")}`);
}

mkdirSync(outDir, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGS });
try {
  await run(browser);
} catch (error) {
  console.error(`page.mjs: ${error.message.split("\nCall log:")[0]}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
