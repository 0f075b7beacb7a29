"""The curve alt_bn128: points of both groups and the pairing check of EIP-196 and EIP-197.

Written for being right, not fast: a check of two pairs takes some 60 ms.

G1 is y^2 = x^3 + 3 over Fp. G2 is y^2 = x^3 + 3 / XI over Fp2 = Fp[i] / (i^2 + 1), XI = 9 + i.
Fp12 is Fp[w] / (w^12 - 18 w^6 + 82), so w^6 = XI, and (x w^2, y w^3) maps G2 into it.
A point at infinity is None.
"""

from collections.abc import Iterable
from typing import Final

P: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
ORDER: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617
_LOOP: Final = 29793968203157093288
_FINAL_EXPONENT: Final = (P**12 - 1) // ORDER

Fp2 = tuple[int, int]
Fp12 = list[int]
G1 = tuple[int, int] | None
G2 = tuple[Fp2, Fp2] | None

_ONE: Final[Fp12] = [1] + [0] * 11


class NoPoint(ValueError):
    """The coordinates do not lie on the curve or not in its group."""


def _add(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def _sub(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


def _mul(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def _scale(a: Fp2, k: int) -> Fp2:
    return a[0] * k % P, a[1] * k % P


def _invert(a: Fp2) -> Fp2:
    norm = pow(a[0] * a[0] + a[1] * a[1], -1, P)
    return a[0] * norm % P, -a[1] * norm % P


def _power(a: Fp2, exponent: int) -> Fp2:
    result: Fp2 = (1, 0)
    for bit in f"{exponent:b}":
        result = _mul(result, result)
        if bit == "1":
            result = _mul(result, a)
    return result


_XI: Final[Fp2] = (9, 1)
_B2: Final[Fp2] = _scale(_invert(_XI), 3)
_FROBENIUS_X: Final[Fp2] = _power(_XI, (P - 1) // 3)
_FROBENIUS_Y: Final[Fp2] = _power(_XI, (P - 1) // 2)


def g1(x: int, y: int) -> G1:
    """The point of G1; (0, 0) is infinity.

    Raises:
        NoPoint: A coordinate is not below P, or the point is not on the curve.
    """
    if x >= P or y >= P:
        raise NoPoint("a coordinate is too large")
    if (x, y) == (0, 0):
        return None
    if (y * y - x * x * x - 3) % P:
        raise NoPoint("not on the curve")
    return x, y


def g2(x: Fp2, y: Fp2) -> G2:
    """The point of G2; zeros are infinity.

    Raises:
        NoPoint: As for G1, or the point lies outside the group of prime order.
    """
    if max(*x, *y) >= P:
        raise NoPoint("a coordinate is too large")
    if x == (0, 0) and y == (0, 0):
        return None
    if _mul(y, y) != _add(_mul(_mul(x, x), x), _B2):
        raise NoPoint("not on the curve")
    point: G2 = (x, y)
    result: G2 = None
    for bit in f"{ORDER:b}":
        result = _sum2(result, result)
        if bit == "1":
            result = _sum2(result, point)
    if result is not None:
        raise NoPoint("not in the group")
    return point


def add(a: G1, b: G1) -> G1:
    """The sum of two points of G1."""
    if a is None or b is None:
        return b if a is None else a
    (x1, y1), (x2, y2) = a, b
    if x1 == x2:
        if (y1 + y2) % P == 0:
            return None
        slope = 3 * x1 * x1 * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiply(a: G1, k: int) -> G1:
    """The point `a` added `k` times."""
    result: G1 = None
    for bit in f"{k:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, a)
    return result


def _slope(a: tuple[Fp2, Fp2], b: tuple[Fp2, Fp2]) -> Fp2 | None:
    """Of the line through two points, or of the tangent; None when it is vertical."""
    (x1, y1), (x2, y2) = a, b
    if x1 != x2:
        return _mul(_sub(y2, y1), _invert(_sub(x2, x1)))
    if y1 != y2 or y1 == (0, 0):
        return None
    return _mul(_scale(_mul(x1, x1), 3), _invert(_scale(y1, 2)))


def _sum2(a: G2, b: G2) -> G2:
    if a is None or b is None:
        return b if a is None else a
    slope = _slope(a, b)
    if slope is None:
        return None
    x = _sub(_sub(_mul(slope, slope), a[0]), b[0])
    return x, _sub(_mul(slope, _sub(a[0], x)), a[1])


def _line(a: G2, b: G2, at: tuple[int, int]) -> Fp12:
    """The line through a and b in Fp12, at a point of G1; factors in Fp2 do not matter."""
    if a is None or b is None:
        return _ONE
    x, y = at
    slope = _slope(a, b)
    if slope is None:
        terms = {0: (x, 0), 2: _scale(a[0], -1)}
    else:
        terms = {0: (-y % P, 0), 1: _scale(slope, x), 3: _sub(a[1], _mul(slope, a[0]))}
    value = [0] * 12
    for power, (real, imaginary) in terms.items():  # i = w^6 - 9
        value[power] += real - 9 * imaginary
        value[power + 6] += imaginary
    return [part % P for part in value]


def _times(a: Fp12, b: Fp12) -> Fp12:
    product = [0] * 23
    for i, left in enumerate(a):
        if left:
            for j, right in enumerate(b):
                product[i + j] += left * right
    for i in range(22, 11, -1):  # w^12 = 18 w^6 - 82
        product[i - 6] += 18 * product[i]
        product[i - 12] -= 82 * product[i]
    return [part % P for part in product[:12]]


def _frobenius(a: tuple[Fp2, Fp2]) -> tuple[Fp2, Fp2]:
    """The p-th power of a point of G2, seen from Fp12 and brought back."""
    (x, y) = a
    return (
        _mul((x[0], -x[1] % P), _FROBENIUS_X),
        _mul((y[0], -y[1] % P), _FROBENIUS_Y),
    )


def _miller(a: tuple[int, int], b: tuple[Fp2, Fp2]) -> Fp12:
    value, point = _ONE, b
    current: G2 = point
    for bit in f"{_LOOP:b}"[1:]:
        value = _times(_times(value, value), _line(current, current, a))
        current = _sum2(current, current)
        if bit == "1":
            value = _times(value, _line(current, point, a))
            current = _sum2(current, point)
    first = _frobenius(point)
    x, y = _frobenius(first)
    value = _times(value, _line(current, first, a))
    current = _sum2(current, first)
    return _times(value, _line(current, (x, _scale(y, -1)), a))


def pairing_is_one(pairs: Iterable[tuple[G1, G2]]) -> bool:
    """Whether the product of the pairings of all pairs is 1."""
    product = _ONE
    for a, b in pairs:
        if a is not None and b is not None:
            product = _times(product, _miller(a, b))
    result = _ONE
    for bit in f"{_FINAL_EXPONENT:b}":
        result = _times(result, result)
        if bit == "1":
            result = _times(result, product)
    return result == _ONE
