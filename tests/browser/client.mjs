// Does the browser client of the README run as it stands there? It is taken from the README and pasted into the page's
// console, which is what the README tells people to do.
//
//     node client.mjs URL README

import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const LINES = 10;
const WITHIN_MS = 60_000;

const [url, readme] = process.argv.slice(2);
const clients = [...readFileSync(readme, "utf8").matchAll(/```js\n(.*?)```/gs)].map((found) => found[1]).filter((text) => text.includes("/v1/stream"));
if (clients.length !== 1) throw new Error(`the README has ${clients.length} clients in JavaScript`);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
try {
  const page = await browser.newPage();
  await page.goto(url);
  const firsts = [];
  const enough = new Promise((done, failed) => {
    setTimeout(() => failed(new Error(`the README's client printed ${firsts.length} blocks`)), WITHIN_MS).unref();
    page.on("pageerror", failed);
    page.on("console", (line) => {
      const first = /^(\d+) /.exec(line.text());
      if (first && firsts.push(Number(first[1])) === LINES) done();
    });
  });
  const console_ = await page.context().newCDPSession(page); // the page's own policy forbids eval, the console does not ask it
  await console_.send("Runtime.evaluate", { expression: clients[0], replMode: true });
  await enough;
  if (firsts.some((first, i) => i > 0 && first <= firsts[i - 1])) throw new Error(`frames do not run on: ${firsts}`);
  console.log(`README: its ${clients[0].trim().split("\n").length}-line client printed ${firsts.length} blocks, the first at frame ${firsts[0]}`);
} finally {
  await browser.close();
}
