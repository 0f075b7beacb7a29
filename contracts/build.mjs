// Compiles the contracts with the pinned solc and writes the artifacts that ship in the wheel.
//
//   node build.mjs            writes ../src/tron_payment/contracts/artifacts/*.json
//   node build.mjs --check    compares instead, prints what differs and exits 1
//   node build.mjs --out DIR  writes there
//
// An artifact is {contract, compiler, settings, source_sha256, sources, abi, bytecode}. `sources` maps every
// file that went in to its SHA-256; `source_sha256` is the SHA-256 of the lines "<sha256>  <path>\n"
// sorted by path. No metadata hash is appended, so equal sources give equal bytes anywhere.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const solc = require("solc");

const HERE = dirname(fileURLToPath(import.meta.url));
const SHIPPED = ["TestUSDT", "PayoutRouterV0", "PayoutRouterKYC", "RecipientScreen"];
const FOR_TESTS = ["HostileToken"];
const SHIPPED_FOLDER = join(HERE, "../src/tron_payment/contracts/artifacts");
const TESTS_FOLDER = join(HERE, "../tests/contracts/artifacts");

const SETTINGS = {
  evmVersion: "paris", // no PUSH0: runs on every TVM since the Istanbul fork
  optimizer: { enabled: true, runs: 200 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};

const sha256 = (text) => createHash("sha256").update(text).digest("hex");

function source(path) {
  const file = path.startsWith("@") ? join(HERE, "node_modules", path) : join(HERE, path);
  return readFileSync(file, "utf8");
}

function compile(name) {
  const path = FOR_TESTS.includes(name) ? `test/${name}.sol` : `${name}.sol`;
  const input = {
    language: "Solidity",
    sources: { [path]: { content: source(path) } },
    settings: {
      ...SETTINGS,
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "metadata"] } },
    },
  };
  const output = JSON.parse(
    solc.compile(JSON.stringify(input), { import: (wanted) => ({ contents: source(wanted) }) }),
  );
  const problems = output.errors ?? [];
  if (problems.length > 0) {
    throw new Error(problems.map((problem) => problem.formattedMessage).join("\n"));
  }
  const contract = output.contracts[path][name];
  const used = Object.keys(JSON.parse(contract.metadata).sources).sort();
  const sources = Object.fromEntries(used.map((each) => [each, sha256(source(each))]));
  return {
    contract: name,
    compiler: solc.version(),
    settings: SETTINGS,
    source_sha256: sha256(used.map((each) => `${sources[each]}  ${each}\n`).join("")),
    sources,
    abi: contract.abi,
    bytecode: contract.evm.bytecode.object,
  };
}

function main(args) {
  const check = args.includes("--check");
  const out = args.includes("--out") ? args[args.indexOf("--out") + 1] : null;
  let differing = 0;
  for (const name of [...SHIPPED, ...FOR_TESTS]) {
    const folder = out ?? (SHIPPED.includes(name) ? SHIPPED_FOLDER : TESTS_FOLDER);
    const file = join(folder, `${name}.json`);
    const text = `${JSON.stringify(compile(name), null, 1)}\n`;
    if (check) {
      const same = existsSync(file) && readFileSync(file, "utf8") === text;
      differing += same ? 0 : 1;
      console.log(`${same ? "same     " : "DIFFERENT"} ${name}`);
    } else {
      mkdirSync(folder, { recursive: true });
      writeFileSync(file, text);
      console.log(`${name}: ${(text.match(/"bytecode": "([0-9a-f]*)"/)[1].length / 2)} bytes`);
    }
  }
  return differing === 0 ? 0 : 1;
}

process.exit(main(process.argv.slice(2)));
