"""One door for all operations of the module: a dry run, or an acceptance under the key."""

from typing import Any, Final

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK

from tron_payment.core.money import trx_text
from tron_payment.http.idempotency import canonical, required_key, respond
from tron_payment.ordered import Caller, MoneyRequest
from tron_payment.staking import views as v
from tron_payment.staking.desk import StakingDesk
from tron_payment.staking.facts import StakeWish

DRY_RUN_SOURCE: Final = "parameters"


class Asking:
    """What a route hands a request to."""

    def __init__(self, staking: StakingDesk, caller: Caller) -> None:
        self._operations = staking.operations
        self._caller = caller

    async def __call__(self, data: MoneyRequest, wish: StakeWish) -> Response[Any]:
        """Judge it, or accept it once.

        Args:
            data: The request as it came: what tells a repeat from a reuse of the key.
            wish: The same, typed.

        Raises:
            AppError: See `Staking.judge`; nothing was stored then.
        """
        if data.dry_run:
            return await self._judge(wish)
        stored = await self._operations.request(
            self._caller.principal,
            required_key(self._caller.key),
            wish,
            operation=f"staking.{wish.operation}",
            content=canonical(data),
            answer=lambda each: msgspec.json.encode(v.StakeView.of(each)),
        )
        return respond(stored, v.StakeView)

    async def _judge(self, wish: StakeWish) -> Response[Any]:
        stake = await self._operations.judge(self._caller.principal, wish, "")
        bound = await self._operations.quote(stake)
        view = v.DryRunView(
            decision="accept",
            would_be_status=stake.status.value,
            operation=stake.operation.value,
            address=stake.signer,
            fee={"max_fee_trx": trx_text(bound.hold_sun), "source": DRY_RUN_SOURCE},
        )
        return Response(view, status_code=HTTP_200_OK)


def provide_asking(
    staking: NamedDependency[StakingDesk], caller: NamedDependency[Caller]
) -> Asking:
    """The dependency `ask` of every operation."""
    return Asking(staking, caller)
