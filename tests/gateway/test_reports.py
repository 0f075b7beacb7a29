"""Reports: what happened on which day, for whom; nobody reads another's."""

import csv
import io
from typing import Any

from tests.gateway.test_refunds import body, paid
from tests.gateway.world import World


async def test_a_day_has_its_invoices_deposits_and_refunds(gateway: World) -> None:
    invoice = await paid(gateway, "25")
    await gateway.invoice("10")
    await gateway.post(
        "/payments/process", {"kind": "invoice", "amount": "7", "currency": "TRX"}, sub="=shop-2"
    )
    assert (await gateway.post("/payments/refund", body(invoice, "5"))).status_code == 202
    await gateway.tick(3)
    await gateway.solidify()
    answer = await gateway.get("/payments/reports", role="auditor")
    assert answer.status_code == 200, answer.text
    report = answer.json()
    rows: dict[Any, Any] = {(row["merchant"], row["currency"]): row for row in report["data"]}
    mine = rows[("shop-1", "USDT")]
    assert mine["day"] == report["to"]
    assert (mine["invoices"], mine["invoiced"]) == (2, "35")
    assert (mine["deposits"], mine["received"]) == (1, "25")
    assert (mine["refunds"], mine["refunded"]) == (1, "5")
    assert float(mine["fees_trx"]) > 0
    assert rows[("=shop-2", "TRX")]["invoiced"] == "7"


async def test_a_merchant_reads_its_own_lines_only_as_csv_too(gateway: World) -> None:
    await gateway.invoice("10")
    await gateway.post(
        "/payments/process", {"kind": "invoice", "amount": "7", "currency": "TRX"}, sub="=shop-2"
    )
    own = (await gateway.get("/payments/reports")).json()["data"]
    assert [row["merchant"] for row in own] == ["shop-1"]
    answer = await gateway.get("/payments/reports?format=csv", role="auditor")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["merchant"] for row in rows} == {"shop-1", "'=shop-2"}


async def test_one_kind_is_added_up_alone(gateway: World) -> None:
    await gateway.invoice("10")
    (of_all,) = (await gateway.get("/payments/reports?of=invoices")).json()["data"]
    assert (of_all["invoices"], of_all["deposits"]) == (1, 0)
    assert (await gateway.get("/payments/reports?of=deposits")).json()["data"] == []
    assert (await gateway.get("/payments/reports?of=everything")).status_code == 422


async def test_periods_that_make_no_sense(gateway: World) -> None:
    for query in ("from=2026-12-01&to=2026-11-01", "from=2020-01-01&to=2026-01-01"):
        answer = await gateway.get(f"/payments/reports?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_period")
    assert (await gateway.get("/payments/reports?from=soon")).status_code == 422
    assert (await gateway.get("/payments/reports", role="admin")).status_code == 403
