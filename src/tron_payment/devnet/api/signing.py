"""getsignweight and getapprovedlist: what the signatures of a transaction amount to."""

from typing import Any

from tron_payment.devnet import render
from tron_payment.devnet.api.broadcast import pack
from tron_payment.devnet.api.query import Query, View
from tron_payment.devnet.codec import address_text
from tron_payment.devnet.errors import Refusal
from tron_payment.devnet.records import Permission
from tron_payment.devnet.transactions import Tx
from tron_payment.devnet.validate import (
    FormatError,
    NotPermitted,
    permission_of,
    signers_of,
    weigh,
)


def _enveloped(tx: Tx, visible: bool) -> dict[str, Any]:
    return {
        "result": {"result": True},
        "txid": tx.txid.hex(),
        "transaction": render.transaction(tx, visible),
    }


def getsignweight(view: View, query: Query) -> Any:
    """The permission, who has signed, and whether that is enough.

    Raises:
        Refusal: The transaction cannot be read.
    """
    tx = pack(query.body, query.visible)
    result: dict[str, Any] = {}
    permission: Permission | None = None
    approved: tuple[bytes, ...] = ()
    weight = 0
    try:
        permission = permission_of(view.get, tx)
        weighed = weigh(permission, tx)
        approved, weight = weighed.approved, weighed.weight
        if weight < permission.threshold:
            result["code"] = "NOT_ENOUGH_PERMISSION"
    except FormatError as refused:
        result = {"code": "SIGNATURE_FORMAT_ERROR", "message": refused.text}
    except NotPermitted as refused:
        result = {"code": "PERMISSION_ERROR", "message": refused.text}
    except Refusal as refused:
        result = {"code": "OTHER_ERROR", "message": f"{type(refused).__name__} : {refused.text}"}
    shown: dict[str, Any] = {"result": result}
    if approved:
        shown["approved_list"] = [address_text(signer, query.visible) for signer in approved]
    if permission is not None:
        shown["permission"] = render.permission(permission, query.visible)
    if weight:
        shown["current_weight"] = weight
    shown["transaction"] = _enveloped(tx, query.visible)
    return shown


def getapprovedlist(view: View, query: Query) -> Any:
    """The recovered signers, whatever the permission says of them.

    Raises:
        Refusal: The transaction cannot be read.
    """
    tx = pack(query.body, query.visible)
    shown: dict[str, Any] = {"result": {}}
    try:
        approved = signers_of(tx)
        if approved:
            shown["approved_list"] = [address_text(s, query.visible) for s in approved]
    except FormatError as refused:
        shown["result"] = {"code": "SIGNATURE_FORMAT_ERROR", "message": refused.text}
    shown["transaction"] = _enveloped(tx, query.visible)
    return shown
