"""TronGrid's v1 index: token histories of addresses that are not ours. A hint, never evidence.

It is no part of java-tron: an own node has none, and then nobody is asked. The answer has no
block number and no log index.
"""

import asyncio
from typing import Final

import httpx
import msgspec
from pydantic import SecretStr

from tron_payment.chain import http_client
from tron_payment.core.address import Address, InvalidAddress, parse_address
from tron_payment.core.errors import Refused, Unavailable
from tron_payment.settings import Network, Settings

RESPONSE_BYTES_MAX: Final = 2 * 1024 * 1024
FINGERPRINT_MAX: Final = 256
API_KEY_HEADER: Final = "TRON-PRO-API-KEY"
CURSOR_PREFIX: Final = "v1."
RETRY_S: Final = 30
"""TronGrid suspends a caller for half a minute when it asks too often."""

ISOLATION: Final = "index"
HOSTED: Final = frozenset({Network.MAINNET, Network.NILE, Network.SHASTA, Network.DEVNET})
"""Networks whose default node serves v1 at its own address."""


class IndexUnavailable(Unavailable, code="index_unavailable"):
    """The index does not answer; nothing is known."""


class InvalidIndexCursor(Refused, code="invalid_cursor"):
    """This cursor is not one that this list gave."""


class TokenInfo(msgspec.Struct):
    address: str


class Row(msgspec.Struct):
    """One Transfer as the index tells it."""

    transaction_id: str
    block_timestamp: int
    from_: str = msgspec.field(name="from")
    to: str
    value: str
    token_info: TokenInfo
    type: str = "Transfer"


class Meta(msgspec.Struct):
    fingerprint: str | None = None


class Answer(msgspec.Struct):
    success: bool
    data: list[Row] = []
    meta: Meta = msgspec.field(default_factory=Meta)


class TokenIndex:
    """Asks one v1 index.

    Args:
        base_url: Without ``/v1``.
        http: The way out; see `chain.http_client`.
    """

    def __init__(
        self, base_url: str, http: httpx.AsyncClient, api_key: SecretStr, deadline_s: float
    ) -> None:
        self._base = base_url.rstrip("/")
        self._http = http
        self._api_key = api_key
        self._deadline_s = deadline_s

    @classmethod
    def of(cls, settings: Settings) -> "TokenIndex | None":
        """The index that the configuration knows; None on a network that has none."""
        base, proxy = settings.tron_event_server_url, settings.socks_proxy
        if not base and settings.tron_network in HOSTED and settings.node_urls:
            base, proxy = settings.node_urls[0], settings.node_proxy
        if not base:
            return None
        http = http_client(proxy, ISOLATION)
        return cls(base, http, settings.tron_node_api_key, settings.node_deadline_s)

    async def transfers(
        self, holder: Address, contract: Address | None, limit: int, cursor: str | None
    ) -> tuple[list[Row], str | None]:
        """Token transfers of an address, newest first, and the next page's cursor.

        Raises:
            InvalidIndexCursor: Not from this list.
            IndexUnavailable: No usable answer in time.
        """
        parameters: dict[str, str] = {
            "limit": str(limit),
            "only_confirmed": "true",
            "order_by": "block_timestamp,desc",
        }
        if contract is not None:
            parameters["contract_address"] = contract
        if cursor is not None:
            parameters["fingerprint"] = _fingerprint(cursor)
        answer = await self._get(
            f"{self._base}/v1/accounts/{holder}/transactions/trc20", parameters
        )
        following = answer.meta.fingerprint
        if following is not None and len(following) > FINGERPRINT_MAX:
            raise IndexUnavailable("the index gives a cursor that is too long")
        rows = [row for row in answer.data if row.type == "Transfer" and _is_sound(row)]
        return rows, None if following is None else CURSOR_PREFIX + following

    async def _get(self, url: str, parameters: dict[str, str]) -> Answer:
        headers = {"accept": "application/json"}
        if key := self._api_key.get_secret_value():
            headers[API_KEY_HEADER] = key
        try:
            async with (
                asyncio.timeout(self._deadline_s),
                self._http.stream("GET", url, params=parameters, headers=headers) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise self._away(f"HTTP status {response.status_code}")
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > RESPONSE_BYTES_MAX:
                        raise self._away("the answer is too long")
            answer = msgspec.json.decode(bytes(content), type=Answer)
        except TimeoutError:
            raise self._away(f"no answer within {self._deadline_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise self._away(type(error).__name__) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._away("the answer is not what was asked for") from None
        if not answer.success:
            raise self._away("the index refuses")
        return answer

    def _away(self, reason: str) -> IndexUnavailable:
        return IndexUnavailable(f"the index: {reason}", retry_after_s=RETRY_S)


def _fingerprint(cursor: str) -> str:
    if not cursor.startswith(CURSOR_PREFIX) or not cursor.isprintable():
        raise InvalidIndexCursor(param="cursor")
    return cursor.removeprefix(CURSOR_PREFIX)


def _is_sound(row: Row) -> bool:
    """Whether addresses and amount are what they should be; an index may hold anything."""
    try:
        for text in (row.from_, row.to, row.token_info.address):
            parse_address(text)
    except InvalidAddress:
        return False
    return row.value.isascii() and row.value.isdigit() and row.block_timestamp > 0
