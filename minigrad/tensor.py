"""Tensor: an array, its gradient, and the record of how it was made; operators, methods and NumPy's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from . import shapes
from .backward import backward
from .derivation import being_differentiated, looked_at
from .gradients import gradient, set_gradient
from .interpretation import interpreted
from .messages import as_dtype, check_real, cut, describe
from .methods import Methods
from .modes import recording
from .numpy_functions import OURS, array_function, array_ufunc
from .operators import Operators
from .primitive import Primitive
from .record import Node, Variable, clock
from .values import Values
from .words import WordsOfOthers


class Tensor(Operators, Methods, Values, WordsOfOthers):
    """An array that remembers how it was computed.

    Args:
        data: numbers, nested lists, an array or a Tensor; copied.
        dtype: of the data; NumPy's choice by default.
        requires_grad: whether `backward()` is to collect a gradient for this tensor.

    Raises:
        TypeError: if `requires_grad` is asked for data that are not real floating-point numbers.

    `t.data` is a read-only array. Assigning `t.data = array` copies the array in; a record that was made before refuses
    to go backward, so that a gradient is never silently that of other data.

    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.])
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> None:
        source = data
        if isinstance(data, Variable):
            if being_differentiated(data):
                raise cut("mg.tensor(t)", OURS)
            data = data._array
        elif isinstance(data, (list, tuple)) and any(isinstance(x, Variable) for x in data):
            raise TypeError("tensor: got a sequence of Tensors; join them with mg.stack or mg.concatenate")
        check_real("tensor: data", data)
        array = np.array(data, dtype=as_dtype("tensor", dtype))
        if array.dtype.kind not in "fiub":
            raise TypeError(f"tensor: data must be real numbers or booleans, got dtype {array.dtype}")
        if not array.dtype.isnative:  # numbers computed from it are, and its gradient would be
            array = array.astype(array.dtype.newbyteorder("="))
        self._begin(array, source)
        if requires_grad:
            self._check_float()
            self.node = Node(type(self), self._array)

    @classmethod
    def _sharing(cls, array: np.ndarray, requires_grad: bool = False) -> Tensor:
        """A leaf around an array that nobody will change."""
        t = object.__new__(cls)
        t._begin(np.asarray(array), array)
        if requires_grad:
            t.node = Node(cls, t._array)
        return t

    @classmethod
    def _like(cls, data: Any, requires_grad: bool = False) -> Tensor:
        """A leaf of a copy of the data, of a subclass as well, whatever that one is made from."""
        t = object.__new__(cls)
        Tensor.__init__(t, data, None, requires_grad)
        return t

    @interpreted
    def _begin(self, array: np.ndarray, source: Any) -> None:
        """Make this a tensor of `array` without a record; `source` is what that was read from."""
        self._array, self.node = array, None

    # --- data and gradient -----------------------------------------------------------------------------------------

    @property
    def data(self) -> np.ndarray:
        """The values, as a read-only array."""
        looked_at(self)
        view = self._value("t.data").view()
        view.setflags(write=False)
        return view

    @data.setter
    def data(self, value: Any) -> None:
        if isinstance(value, Variable) and being_differentiated(value):
            raise cut("t.data = ...", OURS)
        value = value._array if isinstance(value, Variable) else value
        check_real("data", value)
        array = np.asarray(value)
        check_real("data", array)
        if array.shape != self._array.shape:
            raise ValueError(f"data: this tensor has shape {self._array.shape}, the new data {array.shape}")
        self._stamp("t.data = ...")
        self._array = np.array(array, dtype=self._array.dtype)

    def writable(self) -> np.ndarray:
        """The values, as an array to be changed in place at once (by an optimiser).

        A record that was made before refuses to go backward.

        Raises:
            RuntimeError: if this tensor is the result of a computation, or has requires_grad=False: views of its data
                may be in use, so only `t.data = array` can change it.
        """
        if not self.requires_grad:
            raise RuntimeError("writable: this tensor has requires_grad=False; assign `t.data = array` instead")
        self._stamp("t.writable()")
        return self._array

    def _stamp(self, what: str) -> None:
        self._value(what)
        node = self.node or getattr(self, "_frozen", None)
        if node is not None:
            if node.primitive is not None:
                raise RuntimeError(f"data: the result of {node.primitive.name} cannot be changed, only leaves can")
            node.order = clock()

    @property
    def requires_grad(self) -> bool:
        """Whether `backward()` collects a gradient for this leaf, or passes through this result.

        It can be set; a leaf for which it is set to False loses its gradient and is frozen, a result loses its record.
        A record that was made before a leaf was frozen gives it its gradient again once it is frozen no more.
        """
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value:
            self._check_float()
            if self.role == "buffer":
                raise TypeError("tensor: a buffer takes no gradient; make another tensor of its data for that")
        if value == self.requires_grad:
            return
        if value:
            self._array = self._array.copy()  # others may hold the array, and `writable` is to change it
            self.node = getattr(self, "_frozen", None) or Node(type(self), self._array)
            self.node.grad = None  # of backward() while it was frozen
        else:
            if self.node is not None and self.node.primitive is None:
                self._role, self._frozen = "frozen", self.node
            self.node = None

    def _check_float(self) -> None:
        if self._array.dtype.kind != "f":
            raise TypeError(
                f"tensor: requires_grad=True needs floating-point data, got {self._array.dtype}; "
                "write 1.0 instead of 1, or pass dtype=float"
            )

    @property
    def role(self) -> str | None:
        """What a leaf that takes no gradient is for those who save it: "frozen", "buffer" or None, a mere constant.

        A leaf is frozen once its requires_grad was switched off, until it is switched on again. To be a buffer (a
        running mean, a table) is for whoever makes it to say: `t.role = "buffer"`; then it can never take a gradient.
        """
        return None if self.node is not None else getattr(self, "_role", None)

    @role.setter
    def role(self, value: str | None) -> None:
        if self.node is not None or value not in (None, "frozen", "buffer"):
            raise ValueError(f'role: None, "frozen" or "buffer", of a leaf with requires_grad=False, got {value!r}')
        self._role = value

    @property
    def primitive(self) -> Primitive | None:
        """What computed this tensor; None for a leaf, and where no record was kept."""
        return None if self.node is None else self.node.primitive

    @property
    def grad(self) -> np.ndarray | None:
        """The gradient that `backward()` has collected, or None; it can be set, to numbers of the tensor's shape."""
        node = self.node
        if node is None:
            self._array.dtype  # noqa: B018 (what a compiled function left behind raises)
            return None
        if node.primitive is not None and hasattr(node, "collector"):
            if not node.retains_grad or node.collector is None:
                return None
            node = node.collector
        return gradient(node)

    @grad.setter
    def grad(self, value: np.ndarray | None) -> None:
        if self.node is None:
            if value is not None:
                raise RuntimeError("grad: this tensor has requires_grad=False; set that first")
            return
        if value is not None:
            value = self._as_gradient(value)
        node = getattr(self.node, "collector", None) or self.node
        set_gradient(node, value)

    def _as_gradient(self, value: Any) -> np.ndarray:
        """What `.grad` is set to, of this tensor's dtype: a copy, since `backward()` adds into it.

        A part of a larger array is kept, so that gradients can lie together in one, to be sent or scaled at once.
        """
        if isinstance(value, Variable):
            raise TypeError("grad: it is an array, got a Tensor; write t.grad = g.data")
        check_real("grad", value)
        array = np.asarray(value)
        check_real("grad", array)
        if array.dtype.kind not in "fiub" or array.shape != self._array.shape:
            raise ValueError(f"grad: this tensor has shape {self._array.shape}, the new gradient is {describe(value)}")
        whole = array.base
        part = isinstance(whole, np.ndarray) and whole.size > array.size and array.flags.writeable
        return array.astype(self._array.dtype, copy=not part)

    def backward(self, g: Any = None) -> None:
        """Add the gradient of this tensor into `.grad` of every leaf with requires_grad=True that it was made from.

        leaf.grad += Σ g ∂self/∂leaf, an array of the leaf's shape and dtype. The record is kept: a second call adds
        the same gradient once more. Set `leaf.grad = None` to start anew.

        Args:
            g: the cotangent, of this tensor's shape; 1 by default, for a tensor of one entry.

        Raises:
            RuntimeError: if nothing here requires a gradient, or a leaf's data changed since the forward pass.
            ValueError: if g is missing for a tensor of several entries or has another shape.
        """
        if self.node is None:
            raise RuntimeError(
                "backward: this tensor does not depend on any tensor with requires_grad=True; make the leaf as "
                "mg.tensor(data, requires_grad=True); t.data, t.detach() and mg.no_grad end the record"
            )
        looked_at(self)  # the gradients will be arrays
        backward(self.node, g)

    def retain_grad(self) -> None:
        """Have `backward()` collect `.grad` for this intermediate result as well.

        Raises:
            RuntimeError: if it does not depend on any tensor with requires_grad=True; or is made in a function that a
                transform differentiates, or stands in, or comes out of, one under `checkpoint`, whose record is
                dropped: `minigrad.tap` collects the gradient there.
        """
        if self.node is None:
            raise RuntimeError("retain_grad: this tensor does not depend on any tensor with requires_grad=True")
        within = recording() not in (True, False)
        if within or getattr(self.node, "collector", self.node) is None:
            where = "stands in a record that checkpoint drops" if within else (
                "is a result of a function under checkpoint that is read in there as well")  # fmt: skip
            raise RuntimeError(
                f"retain_grad: this tensor {where}, so its gradient would be missing, or a part of it; pass a tensor "
                f"e = mg.tensor(np.zeros({self.shape}), requires_grad=True) to the function and call mg.tap(t, e) in "
                "there, then e.grad is the gradient (a network with checkpoint= has it in return_states=True)"
            )
        self._check_filled()
        self.node.retains_grad = True

    @interpreted
    def _check_filled(self) -> None:
        """Raise RuntimeError if a transform differentiates this tensor."""
        if being_differentiated(self):
            raise RuntimeError(
                "retain_grad: a transform such as mg.grad fills no .grad; give the function one more argument, "
                f"e = np.zeros({self.shape}), call mg.tap(t, e) in it, and differentiate with respect to e as well: "
                "mg.grad(f, argnums=(0, 1))(x, e)"
            )

    @interpreted
    def detach(self) -> Tensor:
        """The same values without their record: a constant, and what it was made from can be freed."""
        alone = self.primitive is not None and self._array.base is None
        return self._sharing(self._array if alone else self._array.copy())  # what a leaf shares can change

    # --- Python's protocols ----------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        copied = type(self), self._taken("copying t"), self.requires_grad, self.role
        if type(self) is Tensor:
            return _copied, copied
        named, slots = cast(Any, object).__getstate__(self)
        return _copied, copied, (named, {key: x for key, x in slots.items() if key not in Variable.__slots__})

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if not self._array.ndim:
            raise TypeError("iteration over a tensor with no axis")
        return (shapes.getitem(self, k) for k in range(len(self._array)))

    def __getitem__(self, index: Any) -> Tensor:
        return shapes.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a Tensor's entries cannot be assigned; build a new one with mg.where, mg.stack or mg.concatenate"
        )

    __hash__ = object.__hash__

    # --- NumPy's functions -----------------------------------------------------------------------------------------

    __array_ufunc__ = array_ufunc
    __array_function__ = array_function


def _copied(cls: type[Tensor], data: np.ndarray, requires_grad: bool, role: str | None) -> Tensor:
    """What a copy or a pickle is read as: a leaf."""
    t = cls._like(data, requires_grad)
    if role is not None:
        t.role = role
    return t


def tensor(data: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor with a copy of `data`; see `Tensor`.

    >>> mg.tensor([1, 2], dtype=np.float32, requires_grad=True)
    tensor([1., 2.], dtype=float32, requires_grad=True)
    """
    return Tensor(data, dtype, requires_grad)


def as_tensor(x: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """x itself if it is a Tensor, else a Tensor of these plain numbers in `dtype`.

    >>> t = mg.tensor([1.0, 2.0])
    >>> mg.as_tensor(t) is t, mg.as_tensor(3.0)
    (True, tensor(3.))
    """
    return x if is_tensor(x) else Tensor(x, dtype)


@interpreted
def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor, and does not stand for a plain array."""
    return isinstance(x, Tensor)
