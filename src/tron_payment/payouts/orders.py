"""From payouts to the order that pays them: contract call, expected events, money that leaves."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from coincurve import PrivateKey

from tron_payment.chain import Contract, Transfer, TriggerContract
from tron_payment.contracts import (
    MAX_BATCH,
    artifact,
    attestation_digest,
    payment_id,
    sign_attestation,
)
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.clock import to_ms
from tron_payment.core.money import TRX, USDT
from tron_payment.engine import Expect, ExpectKind, Spend, Wish
from tron_payment.module import Deployment
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import Route, RouteUnavailable

MODULE: Final = "payouts"
ATTESTATION_LIFETIME: Final = timedelta(days=30)
"""From the payout's creation: as long as it may wait for money or a person."""

TRC20_TRANSFER: Final = bytes.fromhex("a9059cbb")


@dataclass(frozen=True, slots=True)
class OrderMaker:
    """Builds orders for payouts; the same payouts always give the same order."""

    deployment: Deployment
    attestation_key: PrivateKey | None

    def router(self, route: Route) -> Address:
        """The router contract of a route.

        Raises:
            RouteUnavailable: None is configured, or no key to attest with.
        """
        address = {
            Route.V0: self.deployment.router_v0,
            Route.KYC: self.deployment.router_kyc,
        }[route]
        if address is None:
            raise RouteUnavailable(f"no router contract for {route}", param="route")
        if route is Route.KYC and self.attestation_key is None:
            raise RouteUnavailable("KYC_ATTESTATION_PRIVATE_KEY is not set", param="route")
        return address

    def wish(self, payouts: Sequence[Payout]) -> Wish:
        """The order that pays these payouts: one, or several by the same router and signer."""
        first = payouts[0]
        assert all(
            (p.order_id, p.route, p.signer) == (first.order_id, first.route, first.signer)
            for p in payouts
        ), first.order_id
        contract, expects, spends = (
            self._direct(first) if first.route is Route.DIRECT else self._routed(payouts)
        )
        return _wish(payouts, contract, expects, spends)

    def forgone(self, payouts: Sequence[Payout]) -> Wish:
        """What is stored as canceled in the place of their order (`Engine.forgo`), also where that
        cannot be built: it names the payouts and pays nobody."""
        signer = Address(payouts[0].signer)
        expects = tuple(
            Expect(
                ExpectKind.TRC20_TRANSFER,
                payout.id,
                self.deployment.usdt,
                signer,
                Address(payout.recipient_address),
                payout.units,
            )
            for payout in payouts
        )
        return _wish(payouts, Transfer(signer, signer, 0), expects, ())

    def _direct(self, payout: Payout) -> tuple[Contract, tuple[Expect, ...], tuple[Spend, ...]]:
        signer, recipient = Address(payout.signer), Address(payout.recipient_address)
        spends = (Spend(signer, payout.currency, payout.units),)
        if payout.currency == TRX.code:
            return Transfer(signer, recipient, payout.units), (), spends
        assert payout.currency == USDT.code, payout.currency
        token = self.deployment.usdt
        expect = Expect(
            ExpectKind.TRC20_TRANSFER, payout.id, token, signer, recipient, payout.units
        )
        return (
            TriggerContract(signer, token, transfer_data(recipient, payout.units)),
            (expect,),
            spends,
        )

    def _routed(
        self, payouts: Sequence[Payout]
    ) -> tuple[Contract, tuple[Expect, ...], tuple[Spend, ...]]:
        route, signer = payouts[0].route, Address(payouts[0].signer)
        router = self.router(route)
        data = self._kyc_data(payouts) if route is Route.KYC else self._v0_data(payouts)
        expects = tuple(
            Expect(
                ExpectKind.ROUTER_PAID,
                payout.id,
                router,
                router,
                Address(payout.recipient_address),
                payout.units,
                self.payment_id(payout).hex(),
            )
            for payout in payouts
        )
        total = sum(payout.units for payout in payouts)
        return TriggerContract(signer, router, data), expects, (Spend(router, USDT.code, total),)

    def _v0_data(self, payouts: Sequence[Payout]) -> bytes:
        code = artifact("PayoutRouterV0")
        rows = [(reference(p.id), Address(p.recipient_address), p.units) for p in payouts]
        if len(rows) == 1:
            return code.call_data("pay", *rows[0])
        return code.call_data("payMany", *(list(column) for column in zip(*rows, strict=True)))

    def _kyc_data(self, payouts: Sequence[Payout]) -> bytes:
        code = artifact("PayoutRouterKYC")
        rows = [self._attested(payout) for payout in payouts]
        if len(rows) == 1:
            return code.call_data("pay", rows[0])
        return code.call_data("payMany", rows)

    def _attested(self, payout: Payout) -> tuple[bytes, Address, int, int, bytes, bytes]:
        assert self.attestation_key is not None
        recipient = Address(payout.recipient_address)
        expiry_s = to_ms(payout.created_at + ATTESTATION_LIFETIME) // 1000
        digest = attestation_digest(
            chain_id=self.deployment.chain_id,
            router=self.router(Route.KYC),
            token=self.deployment.usdt,
            reference=reference(payout.id),
            recipient=recipient,
            units=payout.units,
            expiry_s=expiry_s,
        )
        signed = sign_attestation(self.attestation_key, digest, expiry_s=expiry_s)
        return (
            reference(payout.id),
            recipient,
            payout.units,
            signed.expiry_s,
            signed.r,
            signed.vs,
        )

    def payment_id(self, payout: Payout) -> bytes:
        """The id under which the router pays this payout at most once, for ever."""
        return payment_id(
            chain_id=self.deployment.chain_id,
            router=self.router(payout.route),
            token=self.deployment.usdt,
            reference=reference(payout.id),
            recipient=Address(payout.recipient_address),
            units=payout.units,
        )


def _wish(
    payouts: Sequence[Payout],
    contract: Contract,
    expects: tuple[Expect, ...],
    spends: tuple[Spend, ...],
) -> Wish:
    first = payouts[0]
    return Wish(
        order_id=first.order_id,
        module=MODULE,
        kind=f"payout.{first.route}",
        subject=first.batch_id or first.id,
        wallet_id=first.wallet_id,
        signer=Address(first.signer),
        contract=contract,
        expects=expects,
        spends=spends,
        max_fee_sun=max_fee_of(payouts),
        priority=first.priority,
        detached=first.detached,
    )


def max_fee_of(payouts: Sequence[Payout]) -> int:
    """The most that one transaction of these may burn, in sun, so that the share of none of them,
    and what transactions before have cost it, is more than its maximum."""
    return len(payouts) * max(0, min(p.max_fee_sun - p.fee_before_sun for p in payouts))


def group(payouts: Sequence[Payout], size: int) -> list[list[Payout]]:
    """Which payouts share a transaction, in the order of their rows.

    A router pays many at once: that saves bandwidth, signatures and some energy against paying
    each alone. A plain transfer carries one recipient only. Those that share a transaction share
    its fee evenly, so they have the same maximum: none waits for what another may not cost.

    Args:
        size: Most payouts of one transaction.
    """
    assert 0 < size <= MAX_BATCH, size
    open_groups: dict[tuple[str, ...], list[Payout]] = {}
    groups: list[list[Payout]] = []
    for payout in payouts:
        if payout.route is Route.DIRECT:
            groups.append([payout])
            continue
        cap = str(payout.max_fee_sun)
        key = (payout.route.value, payout.wallet_id, payout.signer, payout.priority, cap)
        mates = open_groups.get(key)
        if mates is None or len(mates) == size:
            mates = open_groups[key] = []
            groups.append(mates)
        mates.append(payout)
    return groups


def reference(payout_id: str) -> bytes:
    """The 32 bytes that stand for a payout on the chain."""
    return hashlib.sha256(payout_id.encode()).digest()


def transfer_data(recipient: Address, units: int) -> bytes:
    """Call data of a TRC-20 `transfer(address,uint256)`."""
    bare = address_bytes(recipient)[1:]
    return TRC20_TRANSFER + bare.rjust(32, b"\0") + units.to_bytes(32, "big")
