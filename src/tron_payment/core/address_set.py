"""A set of very many addresses in very little memory: 8 bytes each, a million in 11 MB.

An address is kept as the first 8 of its 20 bytes, which are a hash's and so spread evenly. Two
addresses may share them, once in 10^13 looks at a million: who finds one here asks the store.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

KEY_BYTES: Final = 8
_BUCKET_BITS: Final = 10
"""A thousand small sorted arrays: adding to one moves a few KB at most."""

_SHIFT: Final = 8 * KEY_BYTES - _BUCKET_BITS
_MARK_BYTES: Final = 3
"""A bit for each beginning of an address, 2 MB: of what is asked for, nearly all is a stranger's,
and its bit is not set. With a million addresses 6 in 100 are."""


class AddressSet:
    """Addresses by their last 20 bytes. Grows, and forgets nothing."""

    def __init__(self, addresses: Iterable[bytes] = ()) -> None:
        self._buckets = [array("Q") for _ in range(1 << _BUCKET_BITS)]
        self._marks = bytearray(1 << 8 * _MARK_BYTES - 3)
        self._count = 0
        self.update(addresses)

    def __len__(self) -> int:
        """How many different keys."""
        return self._count

    def update(self, addresses: Iterable[bytes]) -> None:
        """Add addresses.

        Args:
            addresses: 20 bytes each, without the prefix 0x41.
        """
        for each in addresses:
            key = int.from_bytes(each[:KEY_BYTES])
            bucket = self._buckets[key >> _SHIFT]
            at = bisect_left(bucket, key)
            if at == len(bucket) or bucket[at] != key:
                bucket.insert(at, key)
                mark = int.from_bytes(each[:_MARK_BYTES])
                self._marks[mark >> 3] |= 1 << (mark & 7)
                self._count += 1

    def perhaps(self, addresses: Iterable[bytes]) -> list[bytes]:
        """Those of the addresses that are in the set, and hardly ever one that is not."""
        found, marks, read = [], self._marks, int.from_bytes
        for each in addresses:
            mark = read(each[:_MARK_BYTES])
            if not marks[mark >> 3] >> (mark & 7) & 1:
                continue
            key = read(each[:KEY_BYTES])
            bucket = self._buckets[key >> _SHIFT]
            at = bisect_left(bucket, key)
            if at < len(bucket) and bucket[at] == key:
                found.append(each)
        return found
