"""The compression function F of BLAKE2b (RFC 7693, 3.2) with its rounds given (EIP-152)."""

from struct import Struct
from typing import Final

MASK: Final = (1 << 64) - 1
INPUT_BYTES: Final = 213
_WORDS: Final = Struct("<24Q")
_STATE: Final = Struct("<8Q")
IV: Final = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
_SIGMA: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
_LANES: Final = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def rounds(data: bytes) -> int:
    """The price of an input; 0 for one that is none."""
    return int.from_bytes(data[:4], "big") if _is_input(data) else 0


def _is_input(data: bytes) -> bool:
    return len(data) == INPUT_BYTES and data[212] <= 1


def compress(data: bytes) -> bytes | None:
    """rounds (4, big-endian), h (64), m (128), t (16), f (1) to the new h; None for bad input."""
    if not _is_input(data):
        return None
    values = _WORDS.unpack(data[4:196])
    h, m = values[:8], values[8:]
    v = [*h, *IV]
    v[12] ^= int.from_bytes(data[196:204], "little")
    v[13] ^= int.from_bytes(data[204:212], "little")
    if data[212]:
        v[14] ^= MASK
    for number in range(rounds(data)):
        sigma = _SIGMA[number % 10]
        for lane, (a, b, c, d) in enumerate(_LANES):
            _mix(v, a, b, c, d, m[sigma[2 * lane]], m[sigma[2 * lane + 1]])
    return _STATE.pack(*(h[i] ^ v[i] ^ v[i + 8] for i in range(8)))


def _mix(v: list[int], a: int, b: int, c: int, d: int, x: int, y: int) -> None:
    """The function G."""
    va, vb, vc, vd = v[a], v[b], v[c], v[d]
    va = va + vb + x & MASK
    vd ^= va
    vd = (vd >> 32 | vd << 32) & MASK
    vc = vc + vd & MASK
    vb ^= vc
    vb = (vb >> 24 | vb << 40) & MASK
    va = va + vb + y & MASK
    vd ^= va
    vd = (vd >> 16 | vd << 48) & MASK
    vc = vc + vd & MASK
    vb ^= vc
    vb = (vb >> 63 | vb << 1) & MASK
    v[a], v[b], v[c], v[d] = va, vb, vc, vd
