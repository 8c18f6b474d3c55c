"""einsum, the sum of products that its subscripts spell, and its derivative: another einsum."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, Never, overload

import numpy as np

from .interpretation import watched
from .messages import not_taken
from .primitive import primitive
from .record import Variable
from .shapes import reshape

if TYPE_CHECKING:
    from .tensor import Tensor


def _einsum_operand(k: int, g: Any, y: Any, *xs: Any, inputs: tuple[str, ...], output: str) -> Any:
    # An index of operand k that g and the others do not offer meets a vector of ones; a repeated index, an identity.
    x, wanted = xs[k], inputs[k]
    others = [(s, x) for j, (s, x) in enumerate(zip(inputs, xs, strict=True)) if j != k]
    sizes: dict[str, int] = {}  # of the indices that g and the others offer; 1 gives way in broadcasting
    for s, shape in [(output, y.shape)] + [(s, np.shape(x)) for s, x in others]:
        sizes.update({c: n for c, n in zip(s, shape) if sizes.get(c, 1) == 1})
    result, factors, fresh = "", [(output, g), *others], iter(_letters("".join(inputs) + output))
    for c, n in zip(wanted, x.shape, strict=True):
        if n == 1 and sizes.get(c, 1) != 1:  # was broadcast: summed over here, and put back below
            continue
        twin = next(fresh) if c in result else c
        if twin != c:
            factors.append((c + twin, np.eye(n, dtype=g.dtype)))
        elif sizes.get(c, 1) != n or c not in sizes:
            factors.append((c, np.ones(n, dtype=g.dtype)))
        result += twin
    return reshape(_einsum(*[f for _, f in factors], inputs=tuple(s for s, _ in factors), output=result), x.shape)


def _letters(used: str) -> list[str]:
    return [c for c in map(chr, [*range(65, 91), *range(97, 123)]) if c not in used]


def _summed(*xs: Any, inputs: tuple[str, ...], output: str) -> Any:
    dtypes = [np.asarray(x).dtype for x in xs]
    if len(set(dtypes)) > 1:  # else NumPy may sum one in its own dtype, before it meets the others
        xs = tuple([np.asarray(x, np.result_type(*dtypes)) for x in xs])
    return np.einsum(f"{','.join(inputs)}->{output}", *xs, optimize=len(xs) > 1)


_einsum = primitive(
    _summed,
    *[functools.partial(_einsum_operand, k) for k in range(64)],  # more operands than NumPy takes
    name="einsum",
    doc="The sum of products that the letters of `inputs` and `output` spell.",
)


def _spelled(operands: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The subscripts and operands of `a, [0, 1], b, [1, ...], [0]`: letters in the order of the numbers."""
    lists = watched(operands[1::2] if len(operands) % 2 == 0 else (*operands[1::2], operands[-1]))
    if not lists or not all([isinstance(part, (list, tuple)) for part in lists]):
        raise TypeError(
            "einsum: give subscripts, as in einsum('ij,jk->ik', a, b), or einsum(a, [0, 1], b, [1, 2], [0, 2])"
        )
    numbers = sorted({operator.index(k) for part in lists for k in part if k is not ...})
    if len(numbers) > 52:
        raise ValueError(f"einsum: there are 52 letters for indices, the lists name {len(numbers)}")
    letter: dict[Any, str] = {...: "...", **dict(zip(numbers, _letters("")))}
    terms = ["".join([letter[k] for k in part]) for part in lists]
    n = len(operands) // 2
    return ",".join(terms[:n]) + "".join(["->" + term for term in terms[n:]]), operands[: 2 * n : 2]


@overload
def einsum(subscripts: str, x: Variable, /, *operands: Any) -> Tensor: ...
@overload
def einsum(subscripts: str, x: Any, y: Variable, /, *operands: Any) -> Tensor: ...
@overload
def einsum(subscripts: Any, *operands: Any) -> Any: ...
def einsum(subscripts: Any, *operands: Any, **unknown: Never) -> Any:
    """The sum of products that `subscripts` spells, as np.einsum has it (implicit output and `...` included).

    The cotangent of an operand is such a sum as well, of g and the other operands.

    In its other form each operand is followed by a list of numbers for its axes, and one more list is the output's:
    `einsum(a, [0, 1], b, [1, 2], [0, 2])` is `einsum("ij,jk->ik", a, b)`.

    Raises:
        ValueError: if the subscripts do not fit the operands.
        TypeError: if there are none, in either form.

    >>> mg.einsum("ij,j->i", mg.tensor([[1.0, 2.0], [3.0, 4.0]]), [1.0, 10.0])
    tensor([21., 43.])
    """
    if unknown:
        raise not_taken("einsum", unknown, ())
    if not isinstance(subscripts, str):
        subscripts, operands = _spelled((subscripts, *operands))
    terms, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = terms.split(",")
    if len(inputs) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} names {len(inputs)} operands, {len(operands)} were given")
    spare = _letters(subscripts)
    longest = ""
    for k, (term, x) in enumerate(zip(inputs, operands, strict=True)):
        extra = np.ndim(x) - len(term.replace("...", ""))
        if extra < 0 or (extra and "..." not in term):
            raise ValueError(f"einsum: {term!r} does not fit operand {k} of shape {np.shape(x)}")
        dots = "".join(spare[-extra:]) if extra else ""  # aligned from the right, as broadcasting is
        inputs[k] = term.replace("...", dots)
        longest = max(longest, dots, key=len)
        if len(set(zip(inputs[k], np.shape(x)))) > len(set(inputs[k])):  # NumPy reads beyond an empty axis
            raise ValueError(f"einsum: {term!r} names axes of different sizes alike, of operand {k}, {np.shape(x)}")
    if not arrow:
        letters = terms.replace(",", "").replace("...", "")
        output = "..." + "".join(c for c in sorted(set(letters)) if letters.count(c) == 1)
    return _einsum(*operands, inputs=tuple(inputs), output=output.replace("...", longest))
