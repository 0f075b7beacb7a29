// What people decide, in a real browser: node decide.mjs URL TOKENS_JSON WORLD_JSON. Prints JSON.
//
// Quarantine by two persons, a refund, a signature handed in, a webhook sent again, a failed payout
// paid anew; then what each role finds on every page.
import { BED, DAY, HAND, open } from "./people.mjs";

const [url, tokens, facts] = process.argv.slice(2);
const token = JSON.parse(tokens);
const world = JSON.parse(facts);
const WAIT = { timeout: 120_000 };
const { browser, found, signedIn, inspectHere, shot } = await open(url, token);

async function confirmed(page, label) {
  await page.click(`summary:has-text('${label}')`);
  await page.click(`button:has-text('${label}'):visible`);
}

async function job(name, work) {
  await work();
  found.steps.push(name);
}

// Every menu page and every page of a thing: its status, and where its forms go.
async function seenBy(role, places) {
  const page = await signedIn(role);
  const menu = await page.$$eval("nav a", (links) => links.map((a) => a.getAttribute("href")));
  const pages = await page.evaluate(async (wanted) => {
    const answers = {};
    for (const where of wanted) {
      const answer = await fetch(where);
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      const forms = [...parsed.querySelectorAll("form[method=post]")].map((form) => form.getAttribute("action"));
      answers[where] = { status: answer.status, forms };
    }
    return answers;
  }, places);
  await page.context().close();
  return { menu, pages };
}

try {
  const operator = await signedIn("operator");
  const approver = await signedIn("approver");
  const treasurer = await signedIn("treasurer");

  await job("quarantine is left by two persons", async () => {
    const where = `${url}/console/quarantine/${world.quarantined}`;
    await operator.goto(`${url}/console`);
    await operator.click(`section:has-text('In quarantine') a[href='/console/payouts/${world.quarantined}']`);
    await operator.click("text=See what the chain proves");
    await operator.waitForSelector("#note");
    await inspectHere(operator, "quarantine, to propose");
    await shot(operator, "quarantine-propose");
    await operator.fill("#note", "Seen in the block and at the explorer; asked the recipient.");
    await operator.click("button:has-text('Propose: settled')");
    await operator.waitForSelector("text=Your proposal waits for somebody else");
    found.ownDecision = await operator.locator("form[action='/console/do/quarantine.agree']").count();
    await approver.goto(`${url}/console/quarantine`);
    await inspectHere(approver, "quarantine");
    await approver.click(`a[href$='${world.quarantined}']`);
    await approver.waitForSelector("#proof .figure");
    await inspectHere(approver, "quarantine, to decide");
    await shot(approver, "quarantine-decide", DAY);
    await confirmed(approver, "Carry it out");
    await approver.waitForSelector("text=It left quarantine as the chain proves");
    await operator.goto(where.replace("quarantine", "payouts"));
    found.left = await operator.textContent("h1 .tag");
  });

  await job("a refund is sent and settles before our eyes", async () => {
    await operator.goto(`${url}/console/payments/${world.paid}`);
    await operator.click("summary:has-text('Refund')");
    await operator.fill("#refund_amount", "2");
    await operator.fill("#to_address", world.payer);
    await operator.fill("#reason", "One shoe came back");
    await inspectHere(operator, "refund");
    await shot(operator, "refund", DAY, BED);
    await operator.click("button:has-text('Refund')");
    await operator.waitForSelector("section:has(h2:text('Refunds'))");
    await operator.waitForSelector("section:has(h2:text('Refunds')) .tag:has-text('settled')", WAIT);
    found.refunded = await operator.textContent("section:has(h2:text-is('Refunded')) .figure");
  });

  await job("a signature is handed in and the payout settles", async () => {
    await treasurer.goto(`${url}/console/signing`);
    await inspectHere(treasurer, "signing requests");
    await treasurer.click(`a[href$='${world.signing}']`);
    await treasurer.waitForSelector("#signature");
    await inspectHere(treasurer, "a signing request");
    await treasurer.fill("#signature", world.wrongSignature);
    await treasurer.click("button:has-text('Give the signature')");
    await treasurer.waitForSelector("main h1");
    found.wrongSignature = await treasurer.textContent("main");
    await inspectHere(treasurer, "a refused signature");
    await treasurer.goto(`${url}/console/signing/${world.signing}`);
    await treasurer.fill("#signature", world.signature);
    await shot(treasurer, "signing-request", DAY);
    await treasurer.click("button:has-text('Give the signature')");
    await treasurer.waitForSelector("text=The signature counts");
    await treasurer.waitForSelector("h1 .tag:has-text('complete')", WAIT);
    await treasurer.goto(`${url}/console/payouts/${world.detached}`);
    await treasurer.waitForSelector("text=Settled in solidified block", WAIT);
  });

  await job("a webhook is sent again", async () => {
    await operator.goto(`${url}/console/webhooks`);
    await operator.click(`a[href$='${world.endpoint}']`);
    await operator.click("button:has-text('Send a ping')");
    await operator.waitForSelector("text=A ping is on its way");
    await operator.waitForSelector("tr:has-text('ping') .tag:has-text('delivered')", WAIT);
    await operator.click("tr:has-text('ping') button:has-text('Send again')");
    await operator.waitForSelector("text=The event is being delivered again");
    await operator.waitForSelector("tr:has-text('ping') .tag:has-text('delivered')", WAIT);
    await inspectHere(operator, "a webhook with deliveries");
    await shot(operator, "webhook", DAY);
  });

  await job("a failed payout is paid anew, once", async () => {
    const where = `${url}/console/payouts/${world.failed}`;
    await operator.goto(where);
    await operator.waitForSelector("h1 .tag:has-text('failed')");
    await inspectHere(operator, "a failed payout");
    await shot(operator, "payout-failed", DAY);
    await confirmed(operator, "Pay it anew");
    await operator.waitForSelector("text=A new payout takes the failed one's place");
    await operator.waitForSelector(`a[href='/console/payouts/${world.failed}']`);
    await operator.waitForSelector("h1 .tag:has-text('awaiting signature')", WAIT);
    const anew = new URL(operator.url()).pathname;
    await operator.goto(where);
    await confirmed(operator, "Pay it anew");
    await operator.waitForSelector("text=A new payout takes the failed one's place");
    found.onceOnly = new URL(operator.url()).pathname === anew;
  });

  await job("who may sign is decided by another treasurer", async () => {
    await treasurer.goto(`${url}/console/approvals`);
    await inspectHere(treasurer, "approvals, with a change of permissions");
    await treasurer.click(`a[href$='${world.change}']`);
    await treasurer.waitForSelector("h1 .tag:has-text('asked')");
    for (const each of await treasurer.$$("details.ask > summary")) await each.click();
    await inspectHere(treasurer, "a change of permissions");
    await shot(treasurer, "permission-change", DAY, HAND);
    await treasurer.goto(`${url}/console/permission-changes/${world.change}`);
    await confirmed(treasurer, "Refuse");
    await treasurer.waitForSelector("text=It was refused: the account stays as it is");
    found.refused = await treasurer.textContent("h1 .tag");
  });

  await job("each role found what it may", async () => {
    found.roles = {};
    for (const role of Object.keys(token)) found.roles[role] = await seenBy(role, world.places);
  });
} catch (error) {
  found.error = String(error);
}

await browser.close();
console.log(JSON.stringify(found));
