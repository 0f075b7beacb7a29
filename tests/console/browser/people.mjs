// People at browsers: signing in, and looking at every page as a machine can.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { launch } from "./browser.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SHOTS = process.env.SHOTS || "";
const EVERY = Boolean(process.env.EVERY);
const SIZES = { desktop: { width: 1240, height: 800 }, phone: { width: 375, height: 740 } };
export const DAY = ["desktop", "light"], NIGHT = ["desktop", "dark"];
export const HAND = ["phone", "light"], BED = ["phone", "dark"];
export const VARIANTS = [DAY, NIGHT, HAND, BED];

export async function open(url, token) {
  const browser = await launch(chromium);
  const found = { steps: [], messages: [], outside: [], serious: [], sideways: [] };

  async function watched(options = {}) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(90_000);
    page.on("console", (message) => found.messages.push(`${page.url()}: ${message.text()}`));
    page.on("pageerror", (error) => found.messages.push(`${page.url()}: ${error}`));
    page.on("request", (request) => {
      if (!request.url().startsWith(url) && !request.url().startsWith("data:")) found.outside.push(request.url());
    });
    return page;
  }

  async function signedIn(role) {
    const page = await watched();
    await page.goto(`${url}/console/sign-in`);
    await page.fill("#token", token[role]);
    await page.click("button");
    await page.waitForURL(`${url}/console`);
    return page;
  }

  // The page as it is now: axe in light and dark, no scrolling sideways at 320 px and at 200 % zoom;
  // at 320 px no table needs more room than there is.
  async function inspectHere(page, name, schemes = ["light", "dark"]) {
    for (const scheme of schemes) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.waitForTimeout(150);
      await page.evaluate(async () => {  // colours that are still fading are nobody's colours
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const fading = document.getAnimations().filter((each) => each instanceof CSSTransition);
        await Promise.all(fading.map((each) => each.finished.catch(() => {})));
      });
      if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(axe);
      const rules = scheme === schemes[0] ? {} : { runOnly: ["color-contrast"] };  // the rest is as before
      const { violations } = await page.evaluate((each) => window.axe.run(each), rules);
      for (const each of violations) {
        if (["serious", "critical"].includes(each.impact)) {
          found.serious.push(`${name} ${scheme}: ${each.id} ${each.nodes.map((n) => n.target).slice(0, 3).join(" | ")}`);
        }
      }
    }
    const size = page.viewportSize();
    for (const width of [320, 600]) {
      await page.setViewportSize({ width, height: 700 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      if (wide > width) found.sideways.push(`${name}: ${wide} at ${width}`);
      if (width === 320) found.sideways.push(...(await page.$$eval(".scroll", (boxes) => boxes
        .filter((box) => box.scrollWidth > box.clientWidth)
        .map((box) => `${box.getAttribute("aria-label")}: ${box.scrollWidth} in ${box.clientWidth}`))).map((each) => `${name}: ${each}`));
    }
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: "light" });
  }

  // Pictures for the documents, when SHOTS names a folder; with EVERY in all sizes and schemes.
  async function shot(page, name, ...documented) {
    if (!SHOTS) return;
    mkdirSync(SHOTS, { recursive: true });
    const before = page.viewportSize();
    for (const [size, colorScheme] of EVERY ? VARIANTS : documented) {
      await page.setViewportSize(SIZES[size]);
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(300);  // the menu has scrolled to where one is
      const tall = await page.evaluate(() => document.documentElement.scrollHeight);
      const height = Math.max(500, Math.min(tall, size === "phone" ? 2000 : 1500));
      await page.setViewportSize({ width: SIZES[size].width, height });
      await page.screenshot({ path: `${SHOTS}/${name}-${size}-${colorScheme}.png` });
    }
    await page.setViewportSize(before);
    await page.emulateMedia({ colorScheme: "light" });
  }

  return { browser, found, watched, signedIn, inspectHere, shot };
}
