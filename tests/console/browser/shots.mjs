// Takes the pictures of docs/console.md: node shots.mjs LINK CSV OUT_DIR
import { chromium } from "playwright-core";
import { launch } from "./browser.mjs";

const [link, csv, out] = process.argv.slice(2);
const base = new URL(link).origin;
const SIZES = { desktop: { width: 1100, height: 760 }, phone: { width: 360, height: 740 } };
const browser = await launch(chromium);
const page = await (await browser.newContext({ viewport: SIZES.desktop })).newPage();

async function shot(name, where, size = "desktop", colorScheme = "light") {
  await page.setViewportSize(SIZES[size]);
  await page.emulateMedia({ colorScheme });
  if (where) await page.goto(base + where);
  if (where === "/console") await page.waitForSelector("#charts svg");
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${out}/${name}-${size}-${colorScheme}.png`, fullPage: name !== "health" });
}

await page.goto(`${base}/console/sign-in`);
await shot("sign-in", null);
await page.goto(link);
await page.goto(`${base}/console/batches`);
await page.setInputFiles("#file", csv);
await page.click("text=Check and price it");
await shot("batch-check", null);
await page.goto(`${base}/console/batches`);
const batch = await page.getAttribute("tbody a", "href");
await page.goto(`${base}/console/payouts?status=settled`);
const payout = await page.getAttribute("tbody a", "href");
await page.goto(`${base}/console/wallets`);
const wallet = await page.getAttribute("h2 a:has-text('treasury')", "href");
await page.goto(`${base}/console/payments`);
const payment = await page.getAttribute("tbody a", "href");

await shot("overview", "/console");
await shot("overview", "/console", "phone", "dark");
await shot("payout", payout);
await shot("payout", payout, "phone");
await shot("overview", "/console", "desktop", "dark");
await shot("batch", batch);
await shot("payment", payment, "phone", "dark");
await shot("wallet", wallet, "desktop", "dark");
await shot("staking", "/console/staking?payouts_per_day=500");
await shot("policy", "/console/policy");
await browser.close();
