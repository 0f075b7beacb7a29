// Takes the pictures of docs/console.md: node shots.mjs URL TOKENS_JSON CSV OUT_DIR [ONLY,...]
//
// TOKENS_JSON is a file with a token per role. The service should have something to show: settled
// and waiting payouts, a batch, an invoice.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { launch } from "./browser.mjs";

const [url, tokens, csv, out, only] = process.argv.slice(2);
const token = JSON.parse(readFileSync(tokens, "utf8"));
const wanted = only ? new Set(only.split(",")) : null;
const SIZES = { desktop: { width: 1240, height: 800 }, phone: { width: 375, height: 740 } };
const browser = await launch(chromium);

async function person(role) {
  const context = await browser.newContext({ viewport: SIZES.desktop });
  const page = await context.newPage();
  await page.goto(`${url}/console/sign-in`);
  await page.fill("#token", token[role]);
  await page.click("button");
  await page.waitForURL(`${url}/console`);
  return page;
}

async function shot(page, name, where, size = "desktop", colorScheme = "light") {
  if (wanted && !wanted.has(name)) return;
  await page.setViewportSize(SIZES[size]);
  await page.emulateMedia({ colorScheme });
  if (where) await page.goto(url + where);
  if (where === "/console") await page.waitForSelector("#charts svg");
  await page.waitForFunction(() => !document.querySelector(".looking"));
  await page.waitForTimeout(400);
  const tall = await page.evaluate(() => document.documentElement.scrollHeight);
  const height = Math.min(tall, size === "phone" ? 2000 : 1500);
  await page.setViewportSize({ width: SIZES[size].width, height: Math.max(height, 500) });
  await page.screenshot({ path: `${out}/${name}-${size}-${colorScheme}.png` });
}

const operator = await person("operator");
const first = async (page, where, selector = "tbody a") => {
  await page.goto(url + where);
  return page.getAttribute(selector, "href");
};
const batch = await first(operator, "/console/batches");
const payout = await first(operator, "/console/payouts?status=settled");
const wallet = await first(operator, "/console/wallets", "h2 a:has-text('treasury')");
const payment = await first(operator, "/console/payments");
await operator.goto(`${url}/console/batches`);
await operator.setInputFiles("#file", csv);
await operator.click("text=Check and price it");
await shot(operator, "batch-check");

const approver = await person("approver");
const waiting = await first(approver, "/console/approvals");
const auditor = await person("auditor");
const signedOut = await (await browser.newContext()).newPage();
await shot(signedOut, "sign-in", "/console/sign-in");

for (const [size, scheme] of [["desktop", "light"], ["desktop", "dark"], ["phone", "light"], ["phone", "dark"]]) {
  await shot(operator, "overview", "/console", size, scheme);
  await shot(operator, "payout", payout, size, scheme);
  await shot(operator, "payouts", "/console/payouts", size, scheme);
}
await shot(operator, "charts", "/console/charts");
await shot(operator, "batches", "/console/batches");
await shot(operator, "batch", batch);
await shot(operator, "payment", payment, "phone", "dark");
await shot(operator, "payments", "/console/payments");
await shot(operator, "wallets", "/console/wallets");
await shot(operator, "wallet", wallet, "desktop", "dark");
await shot(operator, "staking", "/console/staking?payouts_per_day=500");
await shot(operator, "books", "/console/books");
await shot(operator, "policy", "/console/policy");
await shot(operator, "quarantine", "/console/quarantine");
await shot(operator, "webhooks", "/console/webhooks");
await shot(operator, "health", "/console/health", "desktop", "dark");
await shot(operator, "signing", "/console/signing");
await shot(operator, "events", "/console/events");
await shot(approver, "approvals", "/console/approvals");
if (waiting) await shot(approver, "approve", waiting);
await shot(auditor, "audit", "/console/audit");
await browser.close();
