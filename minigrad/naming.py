"""How a primitive is named, found again by pickle and shown with its arguments; how a Node of the record is shown."""

from __future__ import annotations

import inspect
import pickle
import sys
from typing import Any

import numpy as np


def held_as(x: Any, likely: str) -> str | None:
    """The name under which the module `x.__module__` holds x: the `likely` one, which may be dotted, or any other."""
    module = sys.modules.get(x.__module__)
    found: Any = module
    for part in likely.split("."):
        found = getattr(found, part, None)
    if found is x:
        return likely
    held = list(vars(module).items()) if module is not None else []
    return next((name for name, value in held if value is x), None)


def signature(p: Any) -> inspect.Signature | None:
    """Inputs and static arguments of a primitive, as its rules name them; None if only its function may know."""
    rules = [rule for rule in (*p.rules, p.joint) if rule is not None]
    if not rules and isinstance(p.function, np.ufunc):
        names = ["x"] if p.function.nin == 1 else [f"x{k + 1}" for k in range(p.function.nin)]
        return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names])
    try:
        if rules:
            named = list(inspect.signature(rules[0]).parameters.values())[2:]  # after g and y
        else:  # `out` is the compiler's to give
            named = [q for q in inspect.signature(p.function).parameters.values() if q.name != "out"]
    except (TypeError, ValueError):
        return None
    for k, parameter in enumerate(named):
        flexible = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        kind = inspect.Parameter.POSITIONAL_ONLY if flexible and k < len(p.rules) else parameter.kind
        default = False if parameter.default is np._NoValue else parameter.default  # of keepdims
        named[k] = parameter.replace(kind=kind, annotation=parameter.empty, default=default)
    return inspect.Signature(named)


def entry(node: Any) -> str:
    """A Node as a line of the program that a record is: `node 12: f32[2,3] = multiply(node 10, 2.0)`."""
    result = f"node {node.order}: {_array(node)}"
    if node.primitive is None:
        return f"{result}, a leaf"
    given = zip(node.inputs, node.operands)
    words = [_shown(x) if source is None else f"node {source.order}" for source, x in given]
    words += [f"{name}={_shown(x)}" for name, x in node.static.items()]
    return f"{result} = {node.primitive.name}({', '.join(words)})"


def _shown(x: Any) -> str:
    return _array(x) if isinstance(x, np.ndarray) and x.ndim else str(x)


def _array(x: Any) -> str:
    return f"{x.dtype.kind}{x.dtype.itemsize * 8}[{','.join(map(str, x.shape))}]"


class Named:
    """The part of `Primitive` that makes it a function like others: with a name, pickled by that, never copied."""

    name: str

    def __getattr__(self, attribute: str) -> Any:
        # called for what is not there: modules and rules need not be looked through before somebody asks for these
        if attribute == "__qualname__":
            return held_as(self, self.name) or self.name
        if attribute == "__signature__" and (found := signature(self)) is not None:
            return found
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r}")

    def __reduce__(self) -> str:
        """Like a function, a primitive is pickled by its name."""
        name = held_as(self, self.name)
        if name is None:
            raise pickle.PicklingError(
                f"{self.name}: a primitive is pickled by its name, and module {self.__module__!r}, which declared it, "
                "holds it under none; assign it to a name there, outside of functions and classes, "
                "or say which module holds it (`p.__module__ = __name__`)"
            )
        return name

    def __copy__(self) -> Named:
        return self

    def __deepcopy__(self, memo: Any) -> Named:
        return self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"
