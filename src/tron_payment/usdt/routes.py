"""HTTP of the USDT module: translates, does not think."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED

from tron_payment.chain import TriggerContract
from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.errors import Refused
from tron_payment.core.money import USDT, Amount, decimal_text, trx_text
from tron_payment.db.acts import describe
from tron_payment.http.idempotency import canonical, required_key, respond
from tron_payment.http.openapi import answer_spec
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.principals import Principal
from tron_payment.ordered import Caller, provide_caller
from tron_payment.usdt import views as v
from tron_payment.usdt.balances import At
from tron_payment.usdt.history import HistoryView
from tron_payment.usdt.service import Usdt
from tron_payment.usdt.transfers import TransferWish, wish_of

READ: dict[str, Any] = {"permission": "usdt:read"}
DRY_RUN = {200: answer_spec(v.DryRunView, "A dry run: what it would cost; nothing is stored.")}
Currency = Annotated[str, QueryParameter(max_length=16)]
AddressText = Annotated[str, QueryParameter(max_length=64)]


class EstimateSource(Refused, code="estimate_source"):
    """An estimate takes either from_address or wallet_id."""


class UsdtController(Controller):
    """`/usdt`: USDT and the registered TRC-20 tokens."""

    path = "/usdt"
    tags = ("usdt",)
    dependencies = {
        "page": Provide(provide_page, sync_to_thread=False),
        "caller": Provide(provide_caller, sync_to_thread=False),
    }

    @get("/balance/{address:str}", opt=READ)
    async def balance(
        self,
        address: FromPath[str],
        usdt: NamedDependency[Usdt],
        at: Annotated[At, QueryParameter()] = "head",
        currency: Currency = USDT.code,
    ) -> v.BalanceView:
        """A balance on the newest block, or on the newest solidified one; names the block."""
        token = usdt.tokens.get(currency)
        found = await usdt.balances.balance(token, parse_address(address, param="address"), at)
        return v.BalanceView(
            address=address,
            balance=decimal_text(found.units, token.asset.decimals),
            currency=currency,
            at=at,
            block_number=found.block.number,
            block_id=found.block.block_id,
            block_time=rfc3339(from_ms(found.block.timestamp_ms)),
            exact=found.exact,
        )

    @post(
        "/transfer",
        status_code=HTTP_202_ACCEPTED,
        opt={"permission": "usdt:transfer", "rate": "payout", "audit": "request"},
        responses=DRY_RUN,
    )
    async def transfer(
        self,
        data: JSONBody[v.TransferRequest],
        caller: NamedDependency[Caller],
        usdt: NamedDependency[Usdt],
    ) -> Response[v.TransferView]:
        """Queue a transfer; repeat with the same key to get the same transfer back."""
        return await _request(usdt, caller, data, "usdt.transfer")

    @post(
        "/approve",
        status_code=HTTP_202_ACCEPTED,
        opt={"permission": "usdt:approve", "rate": "payout", "audit": "request"},
        responses=DRY_RUN,
    )
    async def approve(
        self,
        data: JSONBody[v.ApproveRequest],
        caller: NamedDependency[Caller],
        usdt: NamedDependency[Usdt],
    ) -> Response[v.TransferView]:
        """Queue an allowance for a spender; zero revokes it.

        An allowance that is not zero changes to another only when `expected_allowance` says what
        it is: the spender may take the old one before the new one.
        """
        return await _request(usdt, caller, data, "usdt.approve")

    @get("/transfers", opt=READ)
    async def transfers(
        self,
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        usdt: NamedDependency[Usdt],
    ) -> Page[v.TransferView]:
        """Your transfers and approvals, newest first."""
        return await usdt.transfers.history(
            principal, page, lambda each: v.TransferView.of(each, usdt.tokens)
        )

    @get("/transfers/{transfer_id:str}", opt=READ)
    async def read(
        self,
        transfer_id: FromPath[str],
        principal: NamedDependency[Principal],
        usdt: NamedDependency[Usdt],
    ) -> v.TransferView:
        """A transfer or approval as it stands."""
        return v.TransferView.of(await usdt.transfers.get(principal, transfer_id), usdt.tokens)

    @post(
        "/transfers/{transfer_id:str}/cancel",
        status_code=HTTP_200_OK,
        opt={"permission": "usdt:transfer", "rate": "payout"},
    )
    async def cancel(
        self,
        transfer_id: FromPath[str],
        principal: NamedDependency[Principal],
        usdt: NamedDependency[Usdt],
    ) -> v.TransferView:
        """Cancel a transfer or approval that is not signed."""
        canceled = await usdt.transfers.cancel(principal, transfer_id)
        after = {"status": canceled.status.value, "order_id": canceled.order_id}
        describe(action="transfer.cancel", after=after)
        return v.TransferView.of(canceled, usdt.tokens)

    @get("/allowance", opt=READ)
    async def allowance(
        self,
        owner: AddressText,
        spender: AddressText,
        usdt: NamedDependency[Usdt],
        currency: Currency = USDT.code,
    ) -> v.AllowanceView:
        """What a spender may still take from an owner."""
        return await _allowance(usdt, owner, spender, currency)

    @get("/allowance/{owner:str}/{spender:str}", opt=READ)
    async def allowance_by_path(
        self,
        owner: FromPath[str],
        spender: FromPath[str],
        usdt: NamedDependency[Usdt],
        currency: Currency = USDT.code,
    ) -> v.AllowanceView:
        """What a spender may still take from an owner; the same by path."""
        return await _allowance(usdt, owner, spender, currency)

    @post("/estimate-gas", status_code=HTTP_200_OK, opt={**READ, "audit": "none"})
    async def estimate(
        self,
        data: JSONBody[v.EstimateRequest],
        principal: NamedDependency[Principal],
        usdt: NamedDependency[Usdt],
    ) -> v.EstimateView:
        """What a transfer would cost on the newest block, by simulation."""
        token = usdt.tokens.get(data.currency)
        amount = Amount.parse(token.asset, data.amount)
        recipient = parse_address(data.to_address, param="to_address")
        if (data.from_address is None) == (data.wallet_id is None):
            raise EstimateSource(param="from_address")
        if data.from_address is not None:
            sender = parse_address(data.from_address, param="from_address")
        else:
            sender = await usdt.wallet_address(data.wallet_id, principal)
        estimate = await usdt.estimates.transfer(token, sender, recipient, amount.units)
        return v.EstimateView.of(token, sender, recipient, amount.units, estimate)

    @get("/transactions/{address:str}", opt=READ)
    async def transactions(
        self,
        address: FromPath[str],
        page: NamedDependency[PageRequest],
        usdt: NamedDependency[Usdt],
        currency: Annotated[str | None, QueryParameter(max_length=16)] = None,
    ) -> HistoryView:
        """Token movements of an address, newest first, from solidified blocks."""
        return await usdt.history.page(parse_address(address, param="address"), currency, page)

    @get("/watch", opt=READ)
    async def watch(self, usdt: NamedDependency[Usdt]) -> v.WatchView:
        """Pause and fee rate of USDT now, and what its issuer did last."""
        state = await usdt.screening.token_state()
        return v.WatchView(
            currency=USDT.code,
            contract_address=usdt.tokens.usdt.contract,
            paused=state.paused,
            fee_basis_points=state.basis_points,
            maximum_fee=decimal_text(state.maximum_fee, USDT.decimals),
            notices=[
                v.NoticeView(
                    kind=each.kind,
                    details=each.details,
                    txid=each.txid,
                    block_number=each.block_number,
                    at=rfc3339(each.at),
                )
                for each in await usdt.notices()
            ],
        )

    @get("/tokens", opt=READ)
    async def tokens(self, usdt: NamedDependency[Usdt]) -> v.TokensView:
        """The tokens that we keep books for; USDT first."""
        return v.TokensView(data=[v.TokenView.of(each) for each in usdt.tokens.all])

    @post("/tokens", status_code=HTTP_201_CREATED, opt={"permission": "usdt:register"})
    async def register(
        self,
        data: JSONBody[v.RegisterRequest],
        principal: NamedDependency[Principal],
        usdt: NamedDependency[Usdt],
    ) -> v.TokenView:
        """Register another TRC-20 token, checked on the chain."""
        contract = parse_address(data.contract_address, param="contract_address")
        return v.TokenView.of(await usdt.registration.register(principal, contract, data.symbol))


async def _allowance(usdt: Usdt, owner: str, spender: str, currency: str) -> v.AllowanceView:
    token = usdt.tokens.get(currency)
    units = await usdt.balances.allowance(
        token, parse_address(owner, param="owner"), parse_address(spender, param="spender")
    )
    return v.AllowanceView(
        owner=owner,
        spender=spender,
        allowance=decimal_text(units, token.asset.decimals),
        currency=currency,
    )


async def _request(
    usdt: Usdt, caller: Caller, data: v.TransferRequest | v.ApproveRequest, operation: str
) -> Response[Any]:
    wish = data.wish()
    if data.dry_run:
        view = await _dry_run(usdt, caller.principal, wish)
        return Response(view, status_code=HTTP_200_OK)
    stored = await usdt.transfers.request(
        caller.principal,
        required_key(caller.key),
        wish,
        operation=operation,
        content=canonical(data),
        answer=lambda each: msgspec.json.encode(v.TransferView.of(each, usdt.tokens)),
    )
    return respond(stored, v.TransferView)


async def _dry_run(usdt: Usdt, principal: Principal, wish: TransferWish) -> v.DryRunView:
    transfer = await usdt.transfers.judge(principal, wish, "")
    contract = wish_of(transfer).contract
    assert isinstance(contract, TriggerContract)
    bound = await usdt.estimates.bound(contract)
    within = bound.hold_sun <= transfer.max_fee_sun
    return v.DryRunView(
        decision="accept" if within else "accept, then wait: fee_above_maximum",
        would_be_status=transfer.status.value,
        wallet_id=transfer.wallet_id,
        from_address=transfer.signer,
        to_address=Address(transfer.counterparty),
        amount=decimal_text(transfer.units, usdt.tokens.asset(transfer.currency).decimals),
        currency=transfer.currency,
        fee=v.QuotedFee(
            max_fee_trx=trx_text(bound.hold_sun),
            energy=bound.energy,
            fee_limit_trx=trx_text(bound.fee_limit_sun),
        ),
    )
