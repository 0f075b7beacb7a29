"""The bytes we sign are java-tron's bytes, and we read back exactly what we wrote."""

import dataclasses
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tronpy.proto import tron_pb2

from tron_payment import chain
from tron_payment.chain import abi_json, wire
from tron_payment.chain.contracts import NOBODY, TYPE_NUMBERS
from tron_payment.chain.raw_data import read_parties
from tron_payment.core.address import address_of, address_of_hex

from .recorded import ANSWERS, DEPLOYMENT, TRANSACTIONS, raw_data_of

OWNER = address_of_hex("41a56160a359f2eaa66f5c9df5245542b07339a9a6")
OTHER = address_of_hex("416b09d6433a379752157fd1a9e537c5cae5fa3168")

addresses = st.binary(min_size=20, max_size=20).map(address_of)
amounts = st.integers(0, 2**63 - 1)
resources = st.sampled_from(chain.Resource)
names = st.text(max_size=32)
permissions = st.builds(
    chain.Permission,
    kind=st.sampled_from(chain.PermissionKind),
    threshold=amounts,
    keys=st.lists(st.tuples(addresses, amounts), max_size=5).map(tuple),
    name=names,
    id=st.integers(0, 9),
    operations=st.binary(max_size=32),
)
abis = st.sampled_from(["", "[]", DEPLOYMENT["abi"]])
votes = st.lists(st.tuples(addresses, amounts), max_size=4).map(tuple)
contracts = st.one_of(
    st.builds(chain.Transfer, addresses, addresses, amounts),
    st.builds(chain.TriggerContract, addresses, addresses, st.binary(max_size=200), amounts),
    st.builds(chain.CreateAccount, addresses, addresses),
    st.builds(
        chain.CreateContract, addresses, names, abis, st.binary(max_size=300), amounts,
        st.integers(0, 100), amounts,
    ),
    st.builds(chain.FreezeV2, addresses, amounts, resources),
    st.builds(chain.UnfreezeV2, addresses, amounts, resources),
    st.builds(chain.WithdrawExpireUnfreeze, addresses),
    st.builds(chain.CancelAllUnfreezeV2, addresses),
    st.builds(chain.Delegate, addresses, addresses, amounts, resources, st.booleans(), amounts),
    st.builds(chain.Undelegate, addresses, addresses, amounts, resources),
    st.builds(chain.Vote, addresses, votes),
    st.builds(chain.WithdrawReward, addresses),
    st.builds(
        chain.PermissionUpdate, addresses, st.none() | permissions, st.none() | permissions,
        st.lists(permissions, max_size=3).map(tuple),
    ),
)  # fmt: skip
raw_datas = st.builds(
    chain.RawData,
    contract=contracts,
    ref_block_bytes=st.binary(min_size=2, max_size=2),
    ref_block_hash=st.binary(min_size=8, max_size=8),
    expiration_ms=amounts,
    timestamp_ms=amounts,
    fee_limit_sun=amounts,
    memo=st.binary(max_size=100),
    permission_id=st.integers(0, 9),
)


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_the_fields_of_a_recorded_transaction_give_its_bytes_and_its_txid(name: str) -> None:
    recording = TRANSACTIONS[name]
    data = raw_data_of(recording)

    raw = chain.encode(data)

    assert raw.hex() == recording["raw"]
    assert chain.txid(raw) == recording["txid"]
    assert chain.decode(raw) == data


def test_a_recorded_deployment_has_the_size_of_ours() -> None:
    value = DEPLOYMENT["new_contract"]
    contract = chain.CreateContract(
        owner=address_of_hex(value["origin_address"]),
        name=value["name"],
        abi_json=DEPLOYMENT["abi"],
        bytecode=bytes(DEPLOYMENT["bytecode_hex_length"] // 2),
        consume_user_resource_percent=value["consume_user_resource_percent"],
        origin_energy_limit=value["origin_energy_limit"],
    )

    raw = chain.encode(raw_data_of(DEPLOYMENT, contract))

    assert len(raw) * 2 == DEPLOYMENT["raw_hex_length"]
    assert chain.decode(raw).contract == contract


def test_the_withdrawal_of_expired_stakes_has_a_type_of_its_own() -> None:
    data = raw_data_of(TRANSACTIONS["cancel_all"], chain.WithdrawExpireUnfreeze(OWNER))
    assert chain.decode(chain.encode(data)) == data
    assert b"protocol.WithdrawExpireUnfreezeContract" in chain.encode(data)


@given(raw_datas)
def test_what_we_write_we_read(data: chain.RawData) -> None:
    raw = chain.encode(data)
    assert chain.decode(raw) == data
    assert chain.read_contract(raw) == data.contract


def _addresses_in(value: Any) -> set[str]:
    """Every address text in a contract, at any depth."""
    if dataclasses.is_dataclass(value):
        value = [getattr(value, each.name) for each in dataclasses.fields(value)]
    if isinstance(value, str):
        return {value} if len(value) == 34 and value.startswith("T") else set()
    if isinstance(value, tuple | list):
        return set().union(*(_addresses_in(each) for each in value))
    return set()


@given(raw_datas)
def test_every_address_in_the_bytes_is_found(data: chain.RawData) -> None:
    found = {address_of(each) for each in read_parties(chain.encode(data))}
    assert _addresses_in(data.contract) <= found


@given(raw_datas)
def test_the_library_s_schema_reads_the_same(data: chain.RawData) -> None:
    raw = chain.encode(data)
    theirs = tron_pb2.Transaction.raw.FromString(raw)

    assert theirs.SerializeToString(deterministic=True) == raw
    assert theirs.expiration == data.expiration_ms
    assert theirs.timestamp == data.timestamp_ms
    assert theirs.fee_limit == data.fee_limit_sun
    assert theirs.data == data.memo
    (outer,) = theirs.contract
    assert outer.Permission_id == data.permission_id
    assert outer.type == TYPE_NUMBERS[type(data.contract)]
    if isinstance(data.contract, chain.Transfer):
        inner = tron_pb2.TransferContract.FromString(outer.parameter.value)
        assert address_of(inner.owner_address) == data.contract.owner
        assert address_of(inner.to_address) == data.contract.to
        assert inner.amount == data.contract.amount_sun
    if isinstance(data.contract, chain.TriggerContract):
        call = tron_pb2.TriggerSmartContract.FromString(outer.parameter.value)
        assert address_of(call.contract_address) == data.contract.contract
        assert call.data == data.contract.data
        assert call.call_value == data.contract.call_value_sun


@settings(max_examples=300)
@given(raw_datas, st.data())
def test_a_strict_reading_never_loses_anything(data: chain.RawData, draw: Any) -> None:
    raw = bytearray(chain.encode(data))
    at = draw.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= draw.draw(st.integers(1, 255))
    try:
        read = chain.decode(bytes(raw))
    except chain.MalformedRawData:
        return
    assert chain.encode(read) == bytes(raw)
    assert read != data


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(wire.int_field(3, 7), id="a field that we do not write"),
        pytest.param(wire.int_field(18, 0) + b"\x90\x01\x00", id="a default written out"),
        pytest.param(wire.bytes_field(10, b"memo"), id="fields out of order"),
        pytest.param(wire.message_field(11, b""), id="a second contract"),
        pytest.param(b"\xff", id="half a field"),
        pytest.param(b"\x00\x00", id="field number 0"),
    ],
)
def test_anything_more_is_malformed(extra: bytes) -> None:
    raw = bytes.fromhex(TRANSACTIONS["trigger"]["raw"])
    with pytest.raises(chain.MalformedRawData):
        chain.decode(raw + extra)


def _around(value: bytes, number: int = 1, name: str = "TransferContract") -> bytes:
    """Raw data around a contract's message that somebody wrote in their own way."""
    url = b"type.googleapis.com/protocol." + name.encode()
    parameter = wire.bytes_field(1, url) + wire.bytes_field(2, value)
    return wire.message_field(11, wire.int_field(1, number) + wire.message_field(2, parameter))


_TRANSFER = (
    wire.bytes_field(1, bytes.fromhex("41" + "11" * 20))
    + wire.bytes_field(2, bytes.fromhex("41" + "22" * 20))
    + wire.int_field(3, 5)
)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(_TRANSFER, id="plain"),
        pytest.param(_TRANSFER + wire.int_field(3, 9), id="the last amount wins"),
        pytest.param(
            _TRANSFER + wire.bytes_field(1, bytes.fromhex("41" + "33" * 20)), id="the last owner"
        ),
        pytest.param(_TRANSFER + b"\x8a\x00\x95\x00" + b"A" + b"4" * 20, id="overlong tag"),
        pytest.param(_TRANSFER + wire.bytes_field(3, b"\x01"), id="the wrong wire type"),
        pytest.param(_TRANSFER + b"\x1b\x08\x01\x1c", id="a group with the amount's number"),
        pytest.param(_TRANSFER + b"\x99\x01" + bytes(8) + b"\xa5\x01" + bytes(4), id="fixed"),
        pytest.param(_TRANSFER + b"\x18" + b"\xff" * 9 + b"\x7f", id="a number beyond 64 bits"),
    ],
)
def test_strangers_bytes_are_read_as_the_official_parser_reads_them(value: bytes) -> None:
    raw = _around(value)
    outer = tron_pb2.Transaction.raw.FromString(raw).contract[0]
    theirs = tron_pb2.TransferContract.FromString(outer.parameter.value)

    ours = chain.read_contract(raw)

    assert isinstance(ours, chain.Transfer)
    assert ours.owner == address_of(theirs.owner_address)
    assert ours.to == address_of(theirs.to_address)
    assert ours.amount_sun == theirs.amount


def test_a_parameter_in_two_pieces_is_merged_as_the_official_parser_does() -> None:
    url = wire.bytes_field(1, b"type.googleapis.com/protocol.TransferContract")
    halves = wire.message_field(2, url + wire.bytes_field(2, b"")) + wire.message_field(
        2, wire.bytes_field(2, _TRANSFER)
    )
    raw = wire.message_field(11, wire.int_field(1, 1) + halves)
    outer = tron_pb2.Transaction.raw.FromString(raw).contract[0]

    ours = chain.read_contract(raw)

    assert outer.parameter.value == _TRANSFER
    assert isinstance(ours, chain.Transfer)
    assert ours.amount_sun == 5


field_numbers = st.integers(1, 7)
pieces = st.recursive(
    st.one_of(
        st.builds(lambda n, v: wire.varint(n << 3) + wire.varint(v), field_numbers, amounts),
        st.builds(wire.message_field, field_numbers, st.binary(max_size=24)),
        st.builds(lambda n, v: wire.varint(n << 3 | 1) + v, field_numbers, st.just(bytes(8))),
        st.builds(lambda n, v: wire.varint(n << 3 | 5) + v, field_numbers, st.just(bytes(4))),
        st.binary(max_size=3),
    ),
    lambda inner: st.builds(
        lambda n, parts: wire.varint(n << 3 | 3) + b"".join(parts) + wire.varint(n << 3 | 4),
        field_numbers,
        st.lists(inner, max_size=3),
    ),
    max_leaves=4,
)


@settings(max_examples=500)
@given(st.lists(pieces, max_size=6).map(b"".join))
def test_whatever_the_official_parser_reads_we_read_the_same(value: bytes) -> None:
    """It is a little stricter than java-tron's: a tag beyond 32 bits is cut there, refused here."""
    try:
        theirs = tron_pb2.TriggerSmartContract.FromString(value)
    except DecodeError:
        return
    fields = wire.read_fields(value)
    assert wire.last_bytes(fields, 1) == theirs.owner_address
    assert wire.last_bytes(fields, 4) == theirs.data
    assert wire.last_int(fields, 3) == theirs.call_value


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_reading_a_block_s_contract_never_fails(raw: bytes) -> None:
    assert chain.read_contract(raw) is not None


def test_other_contracts_keep_their_owner_and_their_bytes() -> None:
    asset = wire.bytes_field(1, b"1000001") + wire.bytes_field(2, bytes.fromhex("41" + "11" * 20))
    read = chain.read_contract(_around(asset, 2, "TransferAssetContract"))
    assert read == chain.OtherContract(
        address_of(bytes.fromhex("41" + "11" * 20)), 2, "TransferAssetContract", asset
    )
    shielded = chain.read_contract(_around(b"\x18\x01", 51, "ShieldedTransferContract"))
    assert shielded == chain.OtherContract(NOBODY, 51, "ShieldedTransferContract", b"\x18\x01")


def test_an_address_of_another_length_is_none() -> None:
    short = wire.bytes_field(1, b"A" + b"1" * 20) + wire.bytes_field(2, b"2" * 20)
    raw = _around(short + wire.int_field(3, 5))
    assert isinstance(chain.read_contract(raw), chain.OtherContract)
    with pytest.raises(chain.MalformedRawData):
        chain.decode(raw)


def test_a_genesis_transfer_is_read_as_something_else() -> None:
    for transaction in ANSWERS["genesis"]["answer"]["transactions"]:
        raw = bytes.fromhex(transaction["raw_data_hex"])
        assert chain.txid(raw) == transaction["txID"]
        read = chain.read_contract(raw)
        assert isinstance(read, chain.OtherContract)
        assert read.owner == NOBODY


def test_a_type_that_contradicts_its_url_is_no_transfer() -> None:
    read = chain.read_contract(_around(_TRANSFER, 1, "TriggerSmartContract"))
    assert isinstance(read, chain.OtherContract)


def test_the_bandwidth_is_what_the_node_charged() -> None:
    raw = bytes.fromhex(TRANSACTIONS["trigger"]["raw"])
    assert chain.bandwidth_bytes(raw, 1) == 345
    multisig = bytes.fromhex(TRANSACTIONS["multisig_transfer"]["raw"])
    assert chain.bandwidth_bytes(multisig, 2) == 334


def test_a_reference_is_taken_from_number_and_id() -> None:
    block_id = "00000000000000cf2132fea0584494ad9087be1f5ccf7c1a5426de142a4f89b9"
    assert chain.reference(207, block_id) == (b"\x00\xcf", bytes.fromhex("2132fea0584494ad"))
    with pytest.raises(AssertionError):
        chain.reference(208, block_id)


def test_a_signed_transaction_splits_into_what_it_was_made_of() -> None:
    raw = bytes.fromhex(TRANSACTIONS["transfer"]["raw"])
    signatures = (bytes(65), bytes([1]) * 65)
    whole = chain.signed(raw, signatures)
    assert tron_pb2.Transaction.FromString(whole).signature[1] == signatures[1]
    assert chain.split_signed(whole) == (raw, signatures)
    with pytest.raises(chain.MalformedRawData):
        chain.split_signed(whole + wire.message_field(5, b""))


def test_an_abi_keeps_what_the_chain_keeps() -> None:
    normal = abi_json.normal_abi(DEPLOYMENT["abi"])
    assert abi_json.normal_abi(normal) == normal
    assert '"name":"transfer"' in normal
    with pytest.raises(abi_json.InvalidAbi):
        abi_json.normal_abi('[{"type":"nonsense"}]')


def test_operations_are_bits_of_contract_types() -> None:
    bits = chain.operations_of(chain.Transfer, chain.TriggerContract)
    assert bits.hex() == "02000080" + "00" * 28
    active = chain.Permission(chain.PermissionKind.ACTIVE, 1, ((OWNER, 1),), operations=bits)
    assert active.allows(1)
    assert active.allows(31)
    assert not active.allows(46)
