"use strict";
// Asks the browser wallet for a signature over just the bytes of this page, and posts it.
// The service checks the signature; the checks here only tell the person early.

const WALLET_WAIT_MS = 3000;

function hexOf(signature) {
  return String(signature).replace(/^0x/, "").toLowerCase();
}

async function wallet(host) {
  const end = Date.now() + WALLET_WAIT_MS;
  while (!host.tronLink && !host.tronWeb) {
    if (Date.now() > end) throw new Error("No TronLink here: install or unlock it, then reload.");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  if (host.tronLink && host.tronLink.request) {
    const answer = await host.tronLink.request({ method: "tron_requestAccounts" });
    if (answer && answer.code && answer.code !== 200) {
      throw new Error("The wallet does not let this page ask: " + (answer.message || answer.code));
    }
  }
  const web = (host.tronLink && host.tronLink.tronWeb) || host.tronWeb;
  if (!web || !web.defaultAddress || !web.defaultAddress.base58) {
    throw new Error("The wallet is locked: unlock it and try again.");
  }
  return web;
}

async function signatureOf(host, request) {
  const web = await wallet(host);
  const address = web.defaultAddress.base58;
  if (!request.keys.includes(address)) {
    throw new Error("Choose another account in the wallet: " + request.keys.join(" or "));
  }
  const unsigned = JSON.parse(JSON.stringify(request.transaction));
  const signed = request.several
    ? await web.trx.multiSign(unsigned, undefined, request.permission_id)
    : await web.trx.sign(unsigned);
  if (!signed || signed.txID !== request.transaction.txID ||
      hexOf(signed.raw_data_hex) !== request.transaction.raw_data_hex) {
    throw new Error("The wallet has changed the transaction; its signature was thrown away.");
  }
  const given = signed.signature || [];
  if (given.length !== 1) throw new Error("The wallet gave no signature.");
  return hexOf(given[0]);
}

async function post(fetcher, request, signature) {
  const answer = await fetcher(request.id + "/signature", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ signature }),
    credentials: "omit",
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || body.title || "The service refuses.");
  return body;
}

if (typeof document !== "undefined") {
  const button = document.getElementById("sign");
  const status = document.getElementById("status");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const request = JSON.parse(button.dataset.request);
      status.textContent = "Look at your wallet and compare.";
      const signature = await signatureOf(window, request);
      const taken = await post(window.fetch.bind(window), request, signature);
      status.textContent = taken.status === "complete"
        ? "Signed. Nothing else is needed."
        : "Signed: weight " + taken.weight + " of " + taken.threshold + ".";
    } catch (error) {
      status.textContent = (error && error.message) || String(error);
      button.disabled = false;
    }
  });
} else {
  module.exports = { signatureOf, post };
}
