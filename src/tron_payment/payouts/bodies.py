"""Bodies that handlers read themselves, for the OpenAPI document: batches, quotes, approvals.

Litestar describes the bodies that it reads; these are CSV or NDJSON besides, or may be absent.
"""

from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema

from tron_payment.payouts.batch_rows import COLUMNS, CSV, NDJSON, BatchRequest, BatchRow
from tron_payment.payouts.batch_text import ROWS_MAX
from tron_payment.payouts.views import ApproveRequest, PayoutRequest, RejectRequest

JSON: Final = "application/json"


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """A struct's JSON Schema with everything it refers to written out in place."""
    whole = msgspec.json.schema(kind)
    definitions = whole.pop("$defs", {})

    def written_out(value: Any) -> Any:
        if isinstance(value, list):
            return [written_out(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return written_out(definitions[value["$ref"].rpartition("/")[2]])
        return {name: written_out(each) for name, each in value.items()}

    found: dict[str, Any] = written_out(whole)
    return found


def _batch() -> dict[str, Any]:
    schema = _schema(BatchRequest)
    rows = {"type": "array", "items": _schema(BatchRow), "minItems": 1, "maxItems": ROWS_MAX}
    schema["properties"] = {**schema["properties"], "payouts": rows}
    return schema


def _body(contents: dict[str, dict[str, Any]], *, required: bool, description: str) -> RequestBody:
    return RequestBody(
        content={
            media_type: OpenAPIMediaType(schema=cast("Schema", schema))  # rendered as it stands
            for media_type, schema in contents.items()
        },
        required=required,
        description=description,
    )


@dataclass
class BatchBody(Operation):
    """`POST /payouts/batch`."""

    def __post_init__(self) -> None:
        text = {"type": "string"}
        self.request_body = _body(
            {JSON: _batch(), CSV: text, NDJSON: text},
            required=True,
            description=f"Up to {ROWS_MAX} rows. CSV has the header `{','.join(COLUMNS)}`, of "
            "which the first three are required; NDJSON has a JSON row a line.",
        )


@dataclass
class QuoteBody(Operation):
    """`POST /payouts/quote`."""

    def __post_init__(self) -> None:
        self.request_body = _body(
            {JSON: {"anyOf": [_schema(PayoutRequest), _batch()]}},
            required=True,
            description="One payout as `initiate` takes it, or many as a batch.",
        )


@dataclass
class ApproveBody(Operation):
    """An approval, which may name what was seen."""

    def __post_init__(self) -> None:
        self.request_body = _body(
            {JSON: _schema(ApproveRequest)}, required=False, description="May be left out."
        )


@dataclass
class RejectBody(Operation):
    """A rejection, which may say why."""

    def __post_init__(self) -> None:
        self.request_body = _body(
            {JSON: _schema(RejectRequest)}, required=False, description="May be left out."
        )
