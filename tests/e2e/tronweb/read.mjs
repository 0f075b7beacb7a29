// Reads a devnet with tronweb and prints what it saw as JSON.
// Arguments: the node's URL, the token's address, and a JSON list of {address, txid}.
import { TronWeb } from "tronweb";

const [fullHost, token, list] = process.argv.slice(2);
// Any key: reading a contract needs some caller's address.
const tron = new TronWeb({ fullHost, privateKey: "01".repeat(32) });
const contract = await tron.contract().at(token);
const transfers = {};
let page = { only_confirmed: true, eventName: "Transfer", limit: 200 };
for (;;) {
  const events = await tron.getEventResult(token, page);
  for (const event of events.data) {
    const to = tron.address.fromHex(event.result.to.replace(/^0x/, "41"));
    (transfers[to] ??= []).push({ txid: event.transaction_id, units: event.result.value });
  }
  const fingerprint = events.meta?.fingerprint;
  if (!fingerprint) break;
  page = { ...page, fingerprint };
}
const accounts = [];
for (const { address, txid } of JSON.parse(list)) {
  const info = await tron.trx.getTransactionInfo(txid);
  accounts.push({
    address,
    trx: String(await tron.trx.getBalance(address)),
    usdt: String(await contract.balanceOf(address).call()),
    block: info.blockNumber,
    fee: info.fee ?? 0,
    receipt: info.receipt.result ?? "",
    transfers: transfers[address] ?? [],
  });
}
const genesis = (await tron.trx.getBlockByNumber(0)).blockID;
console.log(JSON.stringify({ genesis, symbol: await contract.symbol().call(), accounts }));
