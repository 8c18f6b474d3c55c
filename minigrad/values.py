"""What Python sees of a Tensor: its values as text, as a number, as an array; and where that would cut a record."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from .callers import user_line
from .derivation import being_differentiated, looked_at
from .interpretation import interpreted
from .messages import CutError, cut
from .numpy_functions import OURS
from .record import Variable


class Values(Variable):
    """The part of `Tensor` that hands its values to Python.

    While a transform differentiates through a tensor, its values go no further by themselves: `float(t)`, `math.sin(t)`
    or `array[k] = t` would make a constant of it without a word. `t.item()` and `t.data` say so, and are allowed.
    """

    __slots__ = ()

    @interpreted
    def _value(self, what: str) -> np.ndarray:
        """The array, for Python to look into by `what`."""
        return self._array

    def _taken(self, what: str) -> np.ndarray:
        """The same, to go on without a record; refused while a transform differentiates through this tensor."""
        if being_differentiated(self):
            raise cut(what, OURS)
        return self._value(what)

    def item(self, *index: Any) -> Any:
        """The one entry, or that at an index, as a Python number."""
        looked_at(self)
        return self._value("t.item()").item(*index)

    def __repr__(self) -> str:
        looked_at(self)
        body = np.array2string(self._array, separator=", ", prefix="tensor(")
        notes = [] if self._array.dtype in (np.float64, np.int64, np.bool_) else [f"dtype={self._array.dtype}"]
        if self.node is not None:
            notes.append(f"from {self.node.primitive.name}" if self.node.primitive else "requires_grad=True")
        return f"tensor({', '.join([body, *notes])})"

    def __format__(self, spec: str) -> str:
        looked_at(self)
        return format(self._value("format(t)").item(), spec) if spec else repr(self)

    def __contains__(self, value: Any) -> bool:
        return bool((self._value("value in t") == value).any())

    def __bool__(self) -> bool:
        return bool(self._value("if t"))

    def __float__(self) -> float:
        return float(self._taken("float(t)").item())

    def __int__(self) -> int:
        return int(self._taken("int(t)").item())

    def __complex__(self) -> complex:
        return complex(self._taken("complex(t)").item())

    def __round__(self, digits: int | None = None) -> Any:
        return round(self._taken("round(t)").item(), digits)

    # NumPy's stubs make an array of `array + t`, which is a Tensor, unless it can hold no numbers as far as they see
    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> np.ndarray[Any, np.dtype[np.void]]:
        array = self._value("np.asarray(t)")
        if self.node is not None:
            if sys._getframe(1).f_globals.get("__name__", "").startswith("numpy.ma"):
                raise CutError(
                    f"np.ma, or a masked array beside a tensor, at {user_line()} takes numbers of the tensor, whose "
                    "gradient would end there, and here the mask of a masked array, too, would be lost; pass "
                    "x.filled(0), and choose with mg.where(np.ma.getmaskarray(x), ..., ...); to look at a value, t.data"
                )
            raise cut("np.asarray(t)", OURS)
        found = np.array(array, dtype=dtype, copy=copy)
        if found is array:  # which records read later
            found = array.view()
            found.flags.writeable = False
        return found
