// Does in Chromium what the test tells it: one JSON command a line, one JSON answer a line.
// Pages may have a TronLink: a stub in the page whose every call is done by tronweb out here,
// unmodified, with the key of a payer on the devnet.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { launch } from "../../console/browser/browser.mjs";

const tools = createRequire(new URL("../../console/browser/package.json", import.meta.url));
const wallets = createRequire(new URL("../../e2e/tronweb/package.json", import.meta.url));
const { chromium } = tools("playwright-core");
const axe = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");
const WAIT_MS = 50_000;  // a busy machine gets its time, but less than who sends the commands waits
const browser = await launch(chromium);
const pages = new Map();

function inject({ declines }) {
  const ask = (where, name) => (...args) => window.outside(where, name, JSON.stringify(args)).then(JSON.parse);
  const build = { triggerSmartContract: ask("transactionBuilder", "triggerSmartContract"), sendTrx: ask("transactionBuilder", "sendTrx") };
  const trx = { sign: ask("trx", "sign"), sendRawTransaction: ask("trx", "sendRawTransaction") };
  window.tronLink = {
    ready: false,
    request: async ({ method }) => {
      if (method !== "tron_requestAccounts") throw new Error(`no method ${method}`);
      if (declines) return { code: 4001, message: "User rejected the request." };
      window.tronLink.ready = true;
      window.tronLink.tronWeb = { defaultAddress: { base58: await window.payer() }, transactionBuilder: build, trx };
      return { code: 200, message: "ok" };
    },
  };
}

async function withWallet(page, { node, key, declines }) {
  const { TronWeb } = wallets("tronweb");
  const web = new TronWeb({ fullHost: node, privateKey: key });
  await page.exposeFunction("payer", () => web.defaultAddress.base58);
  await page.exposeFunction("outside", async (where, name, args) => {
    return JSON.stringify(await web[where][name](...JSON.parse(args)));
  });
  await page.addInitScript(inject, { declines });
}

const commands = {
  async open({ id, url, width = 1000, height = 800, scheme = "light", js = true, wallet }) {
    const context = await browser.newContext({
      viewport: { width, height }, colorScheme: scheme, javaScriptEnabled: js,
      permissions: ["clipboard-read", "clipboard-write"],
    });
    const page = await context.newPage();
    const seen = { page, loads: 0, messages: [], outside: [] };
    const origin = new URL(url).origin;
    page.on("load", () => (seen.loads += 1));
    page.on("console", (message) => seen.messages.push(message.text()));
    page.on("pageerror", (error) => seen.messages.push(String(error)));
    page.on("request", (request) => request.url().startsWith(origin) || seen.outside.push(request.url()));
    if (wallet) await withWallet(page, wallet);
    await page.goto(url);
    pages.set(id, seen);
  },
  async read({ id }) {
    const { page, loads, messages, outside } = pages.get(id);
    return {
      loads, messages, outside,
      status: await page.getAttribute("#checkout", "data-status"),
      title: await page.title(),
      headline: (await page.textContent(".headline")).trim(),
      text: await page.innerText("main"),
      wide: await page.evaluate(() => document.documentElement.scrollWidth),
    };
  },
  async wait({ id, selector }) {
    await pages.get(id).page.waitForSelector(selector, { timeout: WAIT_MS });
  },
  async click({ id, selector }) {
    await pages.get(id).page.click(selector, { timeout: WAIT_MS });
  },
  async clipboard({ id }) {
    return pages.get(id).page.evaluate(() => navigator.clipboard.readText());
  },
  async tab({ id, times }) {
    const { page } = pages.get(id);
    const stops = [];
    for (let each = 0; each < times; each++) {
      await page.keyboard.press("Tab");
      stops.push(await page.evaluate(() => {
        const at = document.activeElement;
        return { text: at.textContent.trim().replace(/\s+/g, " "), seen: getComputedStyle(at).outlineStyle !== "none" };
      }));
    }
    return stops;
  },
  async look({ id, width, height, scheme }) {
    const { page } = pages.get(id);
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme });
  },
  async shot({ id, path }) {
    await pages.get(id).page.screenshot({ path, fullPage: true, animations: "disabled" });
  },
  async axe({ id, only = null }) {
    const { page } = pages.get(id);
    if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(axe);
    const { violations } = await page.evaluate((rules) => window.axe.run(rules), only ? { runOnly: only } : {});
    return violations
      .filter((each) => ["serious", "critical"].includes(each.impact))
      .map((each) => `${each.id}: ${each.nodes.map((node) => node.target).slice(0, 3).join(" | ")}`);
  },
  async end({ id }) {
    await pages.get(id).page.context().close();
    pages.delete(id);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ answer: (await commands[command](options)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack ?? error) }));
  }
}
await browser.close();
