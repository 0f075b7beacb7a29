// tronweb, unmodified, in its ordinary flows against a devnet; prints what it saw as JSON.
// Arguments: the node's URL, a token artifact (file of {abi, bytecode}), two private keys.
// Every transaction is built, signed and broadcast by tronweb and waited for in a block.
import { readFileSync } from "node:fs";
import { TronWeb } from "tronweb";

process.on("uncaughtException", (error) => {
  const { message, stack, config, response } = error;
  console.error(stack ?? message ?? error, config?.url ?? "", response?.data ?? "");
  process.exit(1);
});
const [fullHost, artifactFile, aliceKey, bobKey] = process.argv.slice(2);
const tron = new TronWeb({ fullHost, privateKey: aliceKey });
const { trx, transactionBuilder: build } = tron;
const alice = tron.defaultAddress.base58;
const bob = TronWeb.address.fromPrivateKey(bobKey);
const carol = (await TronWeb.createAccount()).address.base58;
const seen = {};

async function inBlock(txid) {
  for (let tries = 0; tries < 200; tries++) {
    const info = await trx.getUnconfirmedTransactionInfo(txid);
    if (info.id) return info;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  throw new Error(`${txid} is in no block`);
}

async function settle(transaction, key = aliceKey) {
  const sent = await trx.sendRawTransaction(await trx.sign(transaction, key));
  if (!sent.result) throw new Error(`${sent.code}: ${tron.toUtf8(sent.message)}`);
  return inBlock(transaction.txID);
}

async function refusal(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return error.message;
  }
}

// Reading, and a transfer that tronweb builds by itself.
const head = await trx.getCurrentBlock();
seen.head = head.block_header.raw_data.number;
seen.parent = (await trx.getBlock(seen.head - 1)).blockID === head.block_header.raw_data.parentHash;
seen.unknown = await refusal(trx.getTransaction("ab".repeat(32)));
seen.poor = await refusal(settle(await build.sendTrx(alice, 1, bob), bobKey));
const sent = await settle(await build.sendTrx(bob, 50_000_000, alice));
seen.transfer = { fee: sent.fee, balance: await trx.getUnconfirmedBalance(bob) };
const memo = await build.addUpdateData(await build.sendTrx(bob, 1, alice), "hello", "utf8");
seen.memo_fee = (await settle(memo)).fee;
await settle(await build.createAccount(carol, alice));
seen.created = (await trx.getUnconfirmedAccount(carol)).address;
seen.bandwidth = await trx.getBandwidth(bob);
seen.energy_fee = (await trx.getChainParameters()).find((p) => p.key === "getEnergyFee").value;

// A contract: deploy, call, read, a revert, events.
const { abi, bytecode } = JSON.parse(readFileSync(artifactFile));
const parameters = [1_000_000, "Mine", "MM", 6];
const deployment = await build.createSmartContract(
  { abi, bytecode, parameters, feeLimit: 10_000_000_000, name: "Mine", userFeePercentage: 100,
    originEnergyLimit: 10_000_000 }, alice);
const deployed = await settle(deployment);
seen.deployed = {
  result: deployed.receipt.result,
  foretold: deployment.contract_address === deployed.contract_address,
};
const token = await tron.contract().at(deployed.contract_address);
const called = await token.transfer(bob, 250).send({ feeLimit: 100_000_000 });
const receipt = await inBlock(called);
seen.call = {
  result: receipt.receipt.result,
  estimated: (await build.estimateEnergy(
    token.address, "transfer(address,uint256)", {},
    [{ type: "address", value: bob }, { type: "uint256", value: 1 }], alice)).energy_required >=
    receipt.receipt.energy_usage_total / 3,
  symbol: await token.symbol().call(),
  bob: String(await token.balanceOf(bob).call()),
};
const excessive = await token.transfer(bob, 10_000_000).send({ feeLimit: 100_000_000 });
seen.reverted = (await inBlock(excessive)).receipt.result;
const byTransaction = await tron.event.getEventsByTransactionID(called);
const byContract = await tron.event.getEventsByContractAddress(
  tron.address.fromHex(token.address), { eventName: "Transfer", orderBy: "block_timestamp,asc" });
const byBlock = await tron.event.getEventsByBlockNumber(receipt.blockNumber);
seen.events = [byTransaction, byContract, byBlock].map((page) =>
  page.data.map((event) => [event.event_name, event.result.value]));
await settle(await build.updateSetting(token.address, 40, alice));
const contract = await tron.fullNode.request("wallet/getcontract", { value: token.address }, "post");
seen.setting = contract.consume_user_resource_percent;

// Stake 2.0: freeze, delegate, vote, undelegate, unfreeze, cancel.
await settle(await build.freezeBalanceV2(500_000_000, "ENERGY", alice));
await settle(await build.freezeBalanceV2(100_000_000, "BANDWIDTH", alice));
await settle(await build.delegateResource(200_000_000, bob, "ENERGY", alice, false));
const lent = await trx.getDelegatedResourceV2(alice, bob, { confirmed: false });
seen.lent = lent.delegatedResource[0].frozen_balance_for_energy;
seen.lent_to = (await trx.getDelegatedResourceAccountIndexV2(alice, { confirmed: false })).toAccounts;
seen.borrowed = (await trx.getAccountResources(bob)).EnergyLimit > 0;
const { max_size } = await trx.getCanDelegatedMaxSize(alice, "ENERGY", { confirmed: false });
seen.still_lendable = max_size;
const witness = tron.address.fromHex((await trx.listSuperRepresentatives())[0].address);
await settle(await build.vote({ [witness]: 600 }, alice));
seen.votes = (await trx.getUnconfirmedAccount(alice)).votes[0].vote_count;
await settle(await build.undelegateResource(200_000_000, bob, "ENERGY", alice));
await settle(await build.unfreezeBalanceV2(400_000_000, "ENERGY", alice));
const { count } = await trx.getAvailableUnfreezeCount(alice, { confirmed: false });
seen.unfreezes_left = count;
seen.votes_left = (await trx.getUnconfirmedAccount(alice)).votes[0].vote_count;
const cancelled = await settle(await build.cancelUnfreezeBalanceV2(alice));
seen.cancelled = cancelled.cancel_unfreezeV2_amount.find((part) => part.key === "ENERGY").value;
seen.early_withdrawal = await refusal(settle(await build.withdrawExpireUnfreeze(alice)));

// Two of two: the account asks for Alice's and Bob's signatures from now on.
const account = await trx.getUnconfirmedAccount(alice);
const hex = (address) => tron.address.toHex(address);
const keys = [alice, bob].map((address) => ({ address: hex(address), weight: 1 }));
const active = { ...account.active_permission[0], type: 2, keys, threshold: 2 };
const owner = { ...account.owner_permission, type: 0 };
seen.permission_fee =
  (await settle(await build.updateAccountPermissions(alice, owner, null, [active]))).fee;
const unsigned = await build.sendTrx(carol, 7, alice, { permissionId: 2 });
const one = await trx.multiSign(unsigned, aliceKey, 2);
seen.weight = [(await trx.getSignWeight(one, 2)).current_weight];
seen.one_signature = (await trx.sendRawTransaction(one)).code;
const both = await trx.multiSign(one, bobKey, 2);
seen.weight.push((await trx.getSignWeight(both, 2)).current_weight);
seen.approved = (await trx.getApprovedList(both)).approved_list.length;
await trx.sendRawTransaction(both);
const together = await inBlock(both.txID);
seen.together = { fee: together.fee >= 1_000_000, carol: await trx.getUnconfirmedBalance(carol) };

// What a node without TRC-10 tokens, exchanges and proposals lists.
seen.nothing = [
  await trx.listTokens(), await trx.listExchanges(), await trx.listProposals(),
  await trx.getTokensIssuedByAddress(alice),
].map((list) => Object.keys(list).length);
console.log(JSON.stringify(seen));
