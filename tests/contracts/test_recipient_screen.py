"""RecipientScreen: never deployed; what its simulated creation returns is the answer."""

from tron_payment.contracts import artifact
from tron_payment.core.address import address_bytes
from tron_payment.devnet.tvm import create

from .world import ALICE, BOB, CAROL, ISSUER, MALLORY, Chain, Contract, account

IS_CONTRACT, IS_BLACKLISTED, NOT_TOLD = 1, 2, 4
ENERGY_LIMIT = 100_000_000
"""What nodes allow a constant call by default (`vm.maxEnergyLimitForConstant`)."""

ENERGY_EACH_MAX = 4_000


def look(chain: Chain, token: Contract, *recipients: str) -> tuple[bytes, int]:
    outcome = create(
        chain.state,
        chain.env,
        origin=bytes(20),
        address=address_bytes(account("nowhere"))[1:],
        init_code=artifact("RecipientScreen").init_code(token.address, list(recipients)),
        value=0,
        energy_limit=ENERGY_LIMIT,
    )
    chain.state.commit()
    assert outcome.succeeded, outcome.error
    return outcome.output, outcome.energy_used


def test_each_recipient_has_its_own_answer(chain: Chain, usdt: Contract) -> None:
    token = usdt
    token.must(ISSUER, "addBlackList", MALLORY)
    found, _ = look(chain, token, ALICE, MALLORY, token.address, BOB)
    assert list(found) == [0, IS_BLACKLISTED, IS_CONTRACT, 0]
    assert look(chain, token)[0] == b""


def test_a_contract_can_be_blacklisted_too(chain: Chain, usdt: Contract) -> None:
    token = usdt
    token.must(ISSUER, "addBlackList", token.address)
    assert list(look(chain, token, token.address)[0]) == [IS_CONTRACT | IS_BLACKLISTED]


def test_a_token_without_a_blacklist_tells_nothing(chain: Chain) -> None:
    mute = Contract(chain, artifact("TestUSDT"), CAROL)  # nobody's address: no code
    assert list(look(chain, mute, ALICE, BOB)[0]) == [NOT_TOLD, NOT_TOLD]


def test_a_hundred_recipients_cost_a_small_part_of_a_constant_call(
    chain: Chain, usdt: Contract
) -> None:
    token = usdt
    many = [account(f"recipient {n}") for n in range(100)]
    found, energy = look(chain, token, *many)
    assert found == bytes(100)
    assert energy <= 100 * ENERGY_EACH_MAX < ENERGY_LIMIT // 100
