// The pages of the console: SHOTS=OUT_DIR node shots.mjs URL TOKENS_JSON CSV
//
// TOKENS_JSON is a file with a token per role. The service should have something to show
// (pictures.py). Takes the pictures of docs/console.md; with EVERY=1 each page in both sizes and
// schemes.
import { readFileSync } from "node:fs";
import { BED, DAY, HAND, NIGHT, open, VARIANTS } from "./people.mjs";

const [url, tokens, csv] = process.argv.slice(2);
const { browser, watched, signedIn, shot } = await open(url, JSON.parse(readFileSync(tokens, "utf8")));

async function seen(page, name, where, ...documented) {
  if (where) await page.goto(url + where);
  if (where === "/console") await page.waitForSelector("#charts svg");
  await page.waitForFunction(() => !document.querySelector(".looking"));
  await shot(page, name, ...documented);
}

const operator = await signedIn("operator");
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
await seen(operator, "batch-check", "", DAY);

const approver = await signedIn("approver");
const waiting = await first(approver, "/console/approvals");
const auditor = await signedIn("auditor");
await seen(await watched(), "sign-in", "/console/sign-in", DAY);

await seen(operator, "overview", "/console", ...VARIANTS);
await seen(operator, "payout", payout, ...VARIANTS);
await seen(operator, "payouts", "/console/payouts", DAY, HAND);
await seen(operator, "charts", "/console/charts", DAY, BED);
await seen(operator, "batches", "/console/batches");
await seen(operator, "batch", batch, DAY, HAND);
await seen(operator, "payment", payment, BED);
await seen(operator, "payments", "/console/payments");
await seen(operator, "wallets", "/console/wallets", HAND);
await seen(operator, "wallet", wallet, NIGHT);
await seen(operator, "staking", "/console/staking?payouts_per_day=500", DAY);
await seen(operator, "books", "/console/books", DAY);
await seen(operator, "policy", "/console/policy", DAY);
await seen(operator, "quarantine", "/console/quarantine", DAY);
await seen(operator, "webhooks", "/console/webhooks");
await seen(operator, "events", "/console/events", DAY);
await seen(operator, "health", "/console/health", NIGHT);
await seen(operator, "signing", "/console/signing");
await seen(operator, "glossary", "/console/glossary", HAND);
await seen(operator, "not-found", "/console/payouts/pay_nobody");
await seen(approver, "approvals", "/console/approvals", DAY, HAND);
await seen(approver, "approve", waiting, DAY);
await seen(auditor, "audit", "/console/audit", DAY);
await browser.close();
console.log("{}");
