"""Module: an object whose tensors that require gradients, and those of its parts, are its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import minigrad as mg


class Module:
    """Base class of layers, cells and models; define `forward`, call the object.

    Parameters are found by walking the attributes, and lists, tuples and dicts in them: every leaf tensor with
    requires_grad=True. One that is reachable by two ways (tied weights) counts once, under the name found first.
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # --- parts and parameters ----------------------------------------------------------------------------------------

    def named_parameters(self) -> Iterator[tuple[str, mg.Tensor]]:
        """Each parameter once, with its path: `cells.0.W`. Raises ValueError if two have the same path."""
        paths = set()
        for path, value in _walk(self, "", set()):
            if isinstance(value, mg.Tensor) and value.requires_grad and value.primitive is None:
                if path in paths:
                    raise ValueError(
                        f"{type(self).__name__}: two parameters have the path {path!r}; rename a dict's key"
                    )
                paths.add(path)
                yield path, value

    def parameters(self) -> list[mg.Tensor]:
        """The parameters, each once."""
        return [p for _, p in self.named_parameters()]

    def modules(self) -> Iterator[Module]:
        """This module and every module inside it, each once."""
        return (value for _, value in _walk(self, "", set()) if isinstance(value, Module))

    def zero_grad(self) -> None:
        """Forget every parameter's gradient."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> Module:
        """Switch this module and its parts to training, where dropout drops; returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch this module and its parts to evaluation, where dropout is the identity; returns the module."""
        return self.train(False)

    # --- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter's data, by name."""
        return {name: p.data.copy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set every parameter from `state`: the same names, shapes and dtypes.

        Raises:
            ValueError: listing every missing, unexpected or mismatched entry; nothing is changed then.
        """
        own = dict(self.named_parameters())
        faults = [f"missing: {name} {p.shape} {p.dtype}" for name, p in own.items() if name not in state]
        for name, value in state.items():
            found = np.asarray(value.data if isinstance(value, mg.Tensor) else value)
            if name not in own:
                faults.append(f"unexpected: {name} {found.shape} {found.dtype}")
            elif (found.shape, found.dtype) != (own[name].shape, own[name].dtype):
                wanted = f"{own[name].shape} {own[name].dtype}"
                faults.append(f"mismatched: {name} is {found.shape} {found.dtype}, this model has {wanted}")
        if faults:
            raise ValueError("load_state_dict: nothing was loaded, the state does not fit:\n  " + "\n  ".join(faults))
        for name, p in own.items():
            p.data = state[name]

    # --- display -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands in the parentheses of `repr`: sizes and options."""
        return ""

    def __repr__(self) -> str:
        return "\n".join(_lines(self, set()))


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Module):
        yield from vars(value).items()
    elif isinstance(value, dict):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(k), part) for k, part in enumerate(value))


def _walk(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(value) in seen:
        return
    if isinstance(value, (Module, mg.Tensor, dict, list, tuple)):
        seen.add(id(value))
        yield path, value
    for name, part in _items(value):
        yield from _walk(part, f"{path}.{name}" if path else name, seen)


def weights_dtype(module: Module) -> np.dtype:
    """The dtype of a module's weights (the first floating-point tensor inside); float32 without any."""
    weights = (value for _, value in _walk(module, "", set()) if isinstance(value, mg.Tensor))
    return next((w.dtype for w in weights if w.dtype.kind == "f"), np.dtype(np.float32))


def _lines(module: Module, above: set[int]) -> list[str]:
    """The lines of `repr`: the module with its parameter count, and its parts indented; none inside itself."""
    count = sum(p.size for p in module.parameters())
    lines = [f"{type(module).__name__}({module.extra_repr()})  # {count:,} parameters"]
    above = above | {id(module)}
    for path, part in _children(module):
        if id(part) in above:
            lines.append(f"  {path}: {type(part).__name__}, see above")
            continue
        first, *rest = _lines(part, above)
        lines += [f"  {path}: {first}", *(f"  {line}" for line in rest)]
    return lines


def _children(module: Module) -> Iterator[tuple[str, Module]]:
    """The modules directly inside, through lists and dicts but not through other modules."""
    stack = list(_items(module))[::-1]
    while stack:
        path, value = stack.pop()
        if isinstance(value, Module):
            yield path, value
        else:
            stack.extend([(f"{path}.{name}", part) for name, part in _items(value)][::-1])
