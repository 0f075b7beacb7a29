// One-shot: makes the replica set and the service's own user. Safe to run again.
const fs = require("fs");
const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, "utf8").trim();
const database = process.env.PAYMENT_DB_NAME || "tron_payment";

const root = new Mongo(
  `mongodb://root:${encodeURIComponent(secret("mongo_root_password"))}` +
    "@mongodb:27017/?directConnection=true&authSource=admin",
);
const admin = root.getDB("admin");
function initiate() {
  const done = admin.runCommand({
    replSetInitiate: { _id: "rs0", members: [{ _id: 0, host: "mongodb:27017" }] },
  });
  if (!done.ok) throw new Error(done.errmsg);
}

try {
  admin.runCommand({ replSetGetStatus: 1 }).ok || initiate();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  initiate();
}
for (let look = 0; !admin.runCommand({ hello: 1 }).isWritablePrimary; look++) {
  if (look > 120) throw new Error("no primary comes up");
  sleep(500);
}
const home = root.getDB(database);
// The signer's journal stands beside the orders, under the name that serve.py gives it.
const roles = [database, `${database}_signer`].map((db) => ({ role: "readWrite", db }));
const user = { pwd: secret("mongo_password"), roles };
if (home.getUser("tron_payment") === null) {
  home.createUser({ user: "tron_payment", ...user });
} else {
  home.updateUser("tron_payment", user);
}
print("the replica set is ready");
