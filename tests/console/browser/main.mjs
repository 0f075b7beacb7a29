// A person's main jobs in a real browser: node main.mjs URL TOKENS_JSON CSV BIG_CSV. Prints JSON.
//
// Signs in, uploads a batch with errors, watches it settle without touching the page, opens a
// payout's life; then looks at every page: axe, no scrolling sideways at 320 px and at 200 % zoom
// (600 px wide), no message in the console (a broken content security policy says so there).
import { randomUUID } from "node:crypto";
import { HAND, open } from "./people.mjs";

const [url, tokens, csv, bigCsv] = process.argv.slice(2);
const token = JSON.parse(tokens);
const CONTRACT = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";
const { browser, found, watched, signedIn, inspectHere, shot } = await open(url, token);

async function inspect(page, where) {
  await page.goto(url + where);
  await inspectHere(page, where);
}

try {
  const page = await signedIn("operator");
  found.steps.push("signed in");

  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement.textContent);
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  if (first !== "To the content" || outline === "none") throw new Error(`first focus: ${first}, ${outline}`);
  found.steps.push("keyboard focus is seen");

  await page.goto(`${url}/console/batches`);
  await page.setInputFiles("#file", csv);
  await page.click("text=Check and price it");
  found.good = await page.textContent("#good");
  found.bad = await page.textContent("#bad");
  await inspectHere(page, "check of a batch");
  await page.click("button:has-text('Send')");
  await page.waitForURL(/\/console\/batches\/bat_/);
  const batch = new URL(page.url()).pathname;
  found.steps.push("batch sent");

  await page.waitForSelector("h1:has-text('completed')", { timeout: 90_000 });
  found.steps.push("settled before our eyes");
  found.leftOver = await page.locator("form[action='/console/do/batch.cancel']").count();
  await page.click("#live a[href^='/console/payouts/pay_']");
  await page.waitForSelector("text=Proof on the chain");
  found.life = await page.textContent("ol.life");
  const payout = new URL(page.url()).pathname;
  found.steps.push("life opened");

  await page.goto(`${url}/console/policy`);
  await page.fill("#above", "4000");
  await page.click("form[action='/console/policy'] button");
  const approver = await signedIn("approver");
  await approver.goto(`${url}/console/policy`);
  await approver.click("summary:has-text('Put into force')");
  await approver.click("button:has-text('Put into force')");
  await approver.waitForSelector("text=The policy is in force");
  await page.goto(`${url}/console/batches`);
  await page.setInputFiles("#file", bigCsv);
  await page.click("text=Check and price it");
  await page.click("button:has-text('Send')");
  await page.waitForSelector("h1:has-text('awaiting approval')");
  const big = new URL(page.url()).pathname;
  const call = await fetch(`${url}/api/v1/payments/process`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token.operator}`, "Content-Type": "application/json", "Idempotency-Key": randomUUID() },
    body: JSON.stringify({ kind: "contract", contract_address: CONTRACT, data: `095ea7b3${"00".repeat(64)}` }),
  });
  if (!call.ok) throw new Error(await call.text());
  await inspect(approver, "/console/approvals");
  await shot(approver, "approvals-call", HAND);
  const desk = approver.viewportSize();
  await approver.setViewportSize({ width: 320, height: 700 });
  await approver.click("summary:has-text('Reject')");
  await approver.fill("input[name='reason']", "decided on a phone");
  await inspectHere(approver, "an order to reject");
  await approver.click("button:has-text('Reject')");
  await approver.waitForSelector("text=It was rejected");
  await approver.setViewportSize(desk);
  await approver.goto(`${url}/console/approvals`);
  await approver.click(`a[href='${big}']`);
  await approver.click("summary:has-text('Approve all')");
  await approver.click("button:has-text('Approve all')");
  await approver.waitForSelector("text=Your approval counts");
  await page.waitForSelector("h1:has-text('completed')", { timeout: 90_000 });
  found.steps.push("approved by another person, seen live");

  await page.goto(`${url}/console`);
  await page.waitForSelector("#charts svg[role=img]");
  found.steps.push("charts seen");

  await page.goto(`${url}/console/wallets`);
  const wallet = await page.getAttribute("h2 a", "href");
  await page.goto(`${url}/console/payments`);
  await page.fill("#amount", "5");
  await page.click("text=Make the invoice");
  await page.waitForURL(/\/console\/payments\/inv_/);
  const payment = new URL(page.url()).pathname;
  found.steps.push("invoice made");

  const pages = ["", "/payouts", "/batches", "/payments", "/wallets", "/signing", "/staking", "/books",
    "/approvals", "/quarantine", "/policy", "/webhooks", "/events", "/health", "/charts", "/glossary", "/payouts/pay_nobody"].map((each) => `/console${each}`);
  for (const where of [...pages, batch, payout, wallet, payment]) {
    await inspect(page, where);
  }
  const auditor = await signedIn("auditor");
  await inspect(auditor, "/console/audit");
  found.steps.push("pages inspected");

  await page.goto(`${url}/console/policy`);  // a page that asks for nothing afterwards
  await page.click("text=Sign out");
  await page.waitForURL(`${url}/console/sign-in`);
  await inspect(page, "/console/sign-in");
  found.steps.push("signed out");

  const scriptless = await watched({ javaScriptEnabled: false });
  await scriptless.goto(`${url}/console/sign-in`);
  await scriptless.fill("#token", token.viewer);
  await scriptless.click("button");
  await scriptless.goto(url + payout);
  found.scriptless = await scriptless.textContent("h1");
  found.viewerButtons = await scriptless.locator("form[action^='/console/do/']").count();
  found.steps.push("a viewer without scripts reads the same");
} catch (error) {
  found.error = String(error);
}

await browser.close();
console.log(JSON.stringify(found));
