"""What a primitive refuses in a call: arguments that are not taken, results that are no array, lost gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .callers import user_line
from .derivation import being_differentiated, running
from .messages import MASKABLE, check_operand, check_unmasked, describe, explained, lost, not_taken, numpy_name
from .modes import recording
from .record import Node, Variable
from .signatures import keywords, most_inputs


def _holds_tensors(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and any(isinstance(part, Variable) or _holds_tensors(part) for part in x)


class Refusals:
    """The part of `Primitive` that looks at what it is called with.

    `most` inputs are taken, by position, and of static arguments the `keywords`, any if these are None.
    """

    function: Any
    name: str
    definition: Any
    differentiable: Any
    rules: Any
    joint: Any
    piecewise_constant: bool

    def forget_taken(self) -> None:
        """Have what the rules take found out anew."""
        for name in ("most", "keywords", "takes"):
            vars(self).pop(name, None)

    @functools.cached_property
    def most(self) -> int:
        return most_inputs(self.function, self._readers())

    @functools.cached_property
    def keywords(self) -> frozenset[str] | None:
        return keywords(self.function, self._readers())

    @functools.cached_property
    def takes(self) -> Callable[..., bool]:
        """A test for static arguments."""
        return {"out"}.isdisjoint if self.keywords is None else self.keywords.issuperset

    def _readers(self) -> list[Any]:
        return [rule for rule in (*self.rules, self.joint) if rule is not None]

    def explained(
        self, error: Exception, inputs: Sequence[Any], operands: list[Any], static: dict[str, Any]
    ) -> Exception:
        """The error for what NumPy raised: of arguments that are not taken, else of operands that do not fit."""
        self.check_arguments(inputs, static)
        if not isinstance(error, IndexError) and any([_holds_tensors(x) for x in inputs]):  # an index may hold some
            return TypeError(f"{self.name}: a list of Tensors is no Tensor; join them by mg.stack, or mg.concatenate")
        return explained(self.name, error, operands, static)

    def with_static(self, inputs: Sequence[Any], operands: list[Any], static: dict[str, Any]) -> Any:
        """The function's result, with static arguments; on plain arrays alone it may take what its rules do not."""
        if not self.takes(static) and any([isinstance(x, Variable) for x in inputs]):
            self.check_arguments(inputs, static)
        return self.function(*operands, **static)

    def leave_unrecorded(self, y: Any, inputs: Sequence[Any], static: dict[str, Any]) -> None:
        """Make y the result of a call of which nothing is recorded."""
        if static or len(inputs) > self.most:
            self.check_arguments(inputs, static)
        y.node = None
        if y._array.base is not None and any([isinstance(x, Variable) and x.node is not None for x in inputs]):
            y._array = y._array.copy()  # a view of a parameter would change with its next update

    def check_arguments(self, inputs: Sequence[Any], static: dict[str, Any]) -> None:
        """Raise TypeError for what the function or a rule does not take, or what would get no gradient."""
        if not self.takes(static):
            taken = self.keywords if self.keywords is not None else [key for key in static if key != "out"]
            raise not_taken(self.name, static, taken)
        if len(inputs) > self.most:
            raise TypeError(
                f"{self.name}: takes at most {self.most} positional arguments (what its function and its derivative "
                f"rules all take, and no place for the result), got {len(inputs)}"
            )
        for name, x in static.items():
            if isinstance(x, Variable) and x.node is not None and recording():
                raise lost(self.name)
            if isinstance(x, MASKABLE):
                check_unmasked(f"{self.name}: {name}", x)

    def constant(self, y: Any, inputs: Sequence[Any]) -> Any:
        """The result y of a primitive without rules; TypeError where a transform would lose a gradient by it."""
        self.check_arguments(inputs, {})
        if self.piecewise_constant or not running or np.asarray(y).dtype.kind != "f":
            return y
        if any(isinstance(x, Variable) and being_differentiated(x) for x in inputs):
            raise TypeError(
                f"{self.name}: has no derivative rule, and an input is being differentiated, at {user_line()}; declare "
                f"mg.primitive({numpy_name(self.function)}, rule), or pass `x.detach()` for a constant result"
            )
        return y

    def array_of(self, y: Any, operands: Sequence[Any] = ()) -> np.ndarray:
        """What the function returned for these operands, as an array of real numbers or booleans."""
        y = np.asarray(y) if isinstance(y, np.generic) else y  # as a sum of all entries is
        if type(y) is np.ndarray and y.dtype.kind in "fiub":
            return y
        check_operand(f"{self.name}: an input", y)  # of whose class the result is
        if isinstance(y, tuple):
            raise TypeError(f"{self.name}: the function must return one array, got a tuple of {len(y)}; stack them")
        if isinstance(y, Variable) and y.node is not None:
            raise lost(self.name)
        array = np.asarray(y._array if isinstance(y, Variable) else y)
        if array.dtype.kind not in "fiub":
            objects = [x for x in operands if array.dtype == object and np.asarray(x).dtype == object]
            found = f"{array.dtype}, by {describe(objects[0])}" if objects else array.dtype
            remedy = "; pass float(x), or np.asarray(x, float)" if objects and objects[0] is not None else ""
            raise TypeError(f"{self.name}: a Tensor holds real numbers or booleans, this would be {found}{remedy}")
        return array

    def floating(self, y: Any, inputs: Sequence[Any]) -> Any:
        """The result y of a user's function; TypeError for integers, to which its cotangent would be rounded."""
        if not isinstance(y, Variable) or y._array.dtype.kind == "f" or not self.differentiable or not recording():
            return y
        if any([isinstance(x, Variable) and x.node is not None for x in inputs]):
            raise TypeError(
                f"{self.name}: the function returned {describe(y)} for an input that requires a gradient, but integers "
                "and booleans take none; return y.astype(x.dtype), or pass `x.detach()` for a constant result"
            )
        return y

    def check_differentiable(self, sources: Sequence[Node | None]) -> None:
        """Raise TypeError for an input that requires a gradient and has no rule."""
        if len(sources) > self.most:
            self.check_arguments(sources, {})
        rules, ruled = self.definition.rules, self.definition.ruled
        for k, node in enumerate(sources[ruled:], ruled):
            if node is not None and (k >= len(rules) or rules[k] is None):
                raise TypeError(f"{self.name}: input {k} has no derivative rule; pass it detached: `x.detach()`")
