// Does a person with the token come in, and one without it not? Only a browser posts a form, keeps a cookie and sends both as
// browsers do. Pictures of the login page are kept for whoever wants to look.
//
//     node login.mjs URL OUTDIR TOKEN
//
// CHROMIUM names the browser (default /usr/bin/chromium). Exit code 0 when all is as it should be, 1 with a sentence when not.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const SHAPES = {
  desktop: { viewport: { width: 1280, height: 800 }, colorScheme: "light" },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "dark" },
};
const WITHIN_MS = 30_000;

const [url, outDir, token] = process.argv.slice(2);
if (!token) {
  console.error("usage: node login.mjs URL OUTDIR TOKEN");
  process.exit(64);
}

function expect(what, is, wanted) {
  if (is !== wanted) throw new Error(`${what}: ${JSON.stringify(is)}, should be ${JSON.stringify(wanted)}`);
}

async function submit(page, value) {
  await page.fill("#token", value);
  await Promise.all([page.waitForNavigation({ timeout: WITHIN_MS }), page.click("button")]);
}

const path = (page) => new URL(page.url()).pathname;
const drawn = (page) => page.waitForFunction(() => window.biosigd?.framesDrawn > 0, null, { timeout: WITHIN_MS });

async function run(browser, name) {
  const context = await browser.newContext(SHAPES[name]);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
  await page.goto(url, { timeout: WITHIN_MS });
  expect("without a session the way leads to", path(page), "/login");
  await page.screenshot({ path: join(outDir, `${name}.png`) });
  const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  if (wide > width) throw new Error(`${name}: the page is ${wide} pixels wide on a screen of ${width}`);
  expect("complaints about the login page", complaints.join("\n"), "");

  await submit(page, "not the daemon's token");
  expect("after a wrong token", path(page), "/login");
  expect("the page says", await page.textContent("[role=alert]"), "This is not the daemon’s token. It is the first line of its token file.");
  await page.screenshot({ path: join(outDir, `${name}-wrong.png`) });

  await submit(page, token);
  expect("after the right token", path(page), "/");
  await drawn(page);
  expect("the link to log in is shown", await page.isVisible("#login"), false);
  expect("scripts can read the cookie", await page.evaluate(() => document.cookie), "");
  const [{ httpOnly, sameSite, expires }] = await context.cookies();
  expect("the cookie", JSON.stringify([httpOnly, sameSite, expires]), '[true,"Strict",-1]');

  // A second tab logs out: the first one says so, and leads back.
  const other = await context.newPage();
  await other.goto(new URL("/login", url).href);
  await Promise.all([other.waitForNavigation({ timeout: WITHIN_MS }), other.click("button")]);
  expect("after logging out", path(other), "/login");
  await other.close();
  await page.bringToFront();
  await page.waitForSelector("#login", { state: "visible", timeout: WITHIN_MS });
  await page.screenshot({ path: join(outDir, `${name}-over.png`) });
  await Promise.all([page.waitForNavigation({ timeout: WITHIN_MS }), page.click("#login")]);
  await submit(page, token);
  await drawn(page);
  await context.close();
  console.log(`${name}: a wrong token is told, the right one opens the live view, logging out closes it`);
}

mkdirSync(outDir, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGS });
try {
  for (const name of Object.keys(SHAPES)) await run(browser, name);
} catch (error) {
  console.error(`login.mjs: ${error.message.split("\nCall log:")[0]}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
