"""Other tools' names, and what they are called here, for messages and for `help(mg.Tensor)`."""

from __future__ import annotations

from typing import Any, NoReturn

#: What users of PyTorch and NumPy look for on a Tensor or in the package, and what it is here.
WORDS = {
    "view": "x.reshape(shape)",
    "size": "x.shape",
    "permute": "x.transpose(axes)",
    "t": "x.T",
    "unsqueeze": "mg.expand_dims(x, axis)",
    "expand": "mg.broadcast_to(x, shape)",
    "numpy": "x.data",
    "tolist": "x.data.tolist()",
    "all": "np.all(x)",
    "any": "np.any(x)",
    "nonzero": "np.nonzero(x)",
    "round": "np.round(x, digits), without a derivative",
    "flat": "x.data.flat",
    "nbytes": "x.data.nbytes",
    "strides": "x.data.strides",
    "copy": "mg.positive(x), or x.detach() without the record",
    "clone": "mg.positive(x), or x.detach() without the record",
    "cpu": "x itself: arrays live in NumPy's memory",
    "cuda": "x itself: arrays live in NumPy's memory",
    "to": "x.astype(dtype)",
    "type": "x.astype(dtype)",
    "float": "x.astype(np.float32)",
    "double": "x.astype(np.float64)",
    "long": "x.astype(np.int64)",
    "int": "x.astype(np.int64)",
    "dim": "x.ndim",
    "numel": "x.size",
    "requires_grad_": "x.requires_grad = True",
    "zero_grad": "x.grad = None",
    "detach_": "x = x.detach()",
    "cat": "mg.concatenate(tensors, axis)",
    "chunk": "mg.split(x, sections, axis)",
    "gather": "mg.take_along_axis(x, indices, axis)",
    "index_select": "mg.take(x, indices, axis)",
    "mm": "x @ y",
    "bmm": "x @ y",
    "mul": "x * y",
    "div": "x / y",
    "sub": "x - y",
    "neg": "-x",
    "pow": "x ** y",
    "clamp": "mg.clip(x, low, high)",
    "concat": "mg.concatenate(tensors, axis)",
    "from_numpy": "mg.tensor(array)",
    "as_array": "x.data",
    "array": "mg.tensor(data)",
    "zeros": "mg.tensor(np.zeros(shape))",
    "ones": "mg.tensor(np.ones(shape))",
    "randn": "mg.tensor(np.random.default_rng(0).standard_normal(shape))",
    "rand": "mg.tensor(np.random.default_rng(0).random(shape))",
    "arange": "mg.tensor(np.arange(n))",
    "jit": "mg.compile(f)",
    "elementwise_grad": "mg.grad(lambda x: f(x).sum())",
    "half": "x.astype(np.float16)",
    "bool": "x.astype(bool)",
    "type_as": "x.astype(y.dtype)",
    "view_as": "x.reshape(y.shape)",
    "reshape_as": "x.reshape(y.shape)",
    "expand_as": "mg.broadcast_to(x, y.shape)",
    "ndimension": "x.ndim",
    "nelement": "x.size",
    "movedim": "mg.moveaxis(x, source, destination)",
    "narrow": "x[start:stop]",
    "select": "x[index]",
    "unbind": "list(x)",
    "masked_fill": "mg.where(mask, value, x)",
    "masked_select": "x[mask]",
    "scatter_add": "mg.place(g, indices=(index,), shape=shape, dtype=dtype)",
    "add": "x + y",
    "matmul": "x @ y",
    "rsqrt": "x ** -0.5",
    "reciprocal": "1 / x",
    "eq": "x == y",
    "ne": "x != y",
    "lt": "x < y",
    "gt": "x > y",
    "le": "x <= y",
    "ge": "x >= y",
    "isnan": "mg.isnan(x)",
    "contiguous": "x itself: strides are NumPy's affair",
    "is_leaf": "x.primitive is None",
    "grad_fn": "x.primitive",
    "register_hook": "mg.tap(x, e), which collects its gradient in e",
    "device": "x itself: arrays live in NumPy's memory",
    "asarray": "mg.as_tensor(data)",
    "zeros_like": "mg.tensor(np.zeros_like(x.data))",
    "ones_like": "mg.tensor(np.ones_like(x.data))",
    "full": "mg.tensor(np.full(shape, value))",
    "eye": "mg.tensor(np.eye(n))",
    "linspace": "mg.tensor(np.linspace(start, stop, n))",
    "randint": "mg.tensor(np.random.default_rng(0).integers(low, high, shape))",
    "manual_seed": "np.random.default_rng(seed), which is given to what draws numbers",
    "set_grad_enabled": "mg.no_grad() or mg.enable_grad()",
    "inference_mode": "mg.no_grad()",
    "is_grad_enabled": "mg.no_grad() or mg.enable_grad(), as blocks",
    "stop_gradient": "x.detach()",
    "jacrev": "mg.jacobian(f)",
    "jacfwd": "mg.jacobian(f), or mg.jvp for one direction",
    "vmap": "a function of arrays with one axis more",
    "custom_vjp": "mg.primitive(function, rule)",
    "custom_gradient": "mg.primitive(function, rule)",
    "defvjp": "mg.primitive(function, rule)",
    "make_vjp": "mg.vjp(f, x)",
    "make_jvp": "mg.jvp(f, (x,), (v,))",
    "GradientTape": "mg.grad(f), or loss.backward()",
    "Variable": "mg.tensor(data, requires_grad=True)",
    "Parameter": "mg.tensor(data, requires_grad=True)",
    "nn": "a package of its own: import nn",
    "optim": "the package nn, as nn.Adam(parameters, lr)",
    "Module": "nn.Module, of the package nn",
    "Linear": "nn.Linear, of the package nn",
    "testing": "a package of its own: import minigrad.testing",
    "save": "nn.save(path, module), of the package nn",
    "load": "nn.load(path), of the package nn",
    "cross_entropy": "nn.cross_entropy, of the package nn",
    "check_grad": "minigrad.testing.check_grad",
    "check_grads": "minigrad.testing.check_grad",
    "gradcheck": "minigrad.testing.check_grad",
}


def unknown(owner: str, name: str, of: Any) -> AttributeError:
    """The error for an attribute that an object, `of`, has not, with minigrad's word for it if it is known.

    Python looks in the object for a name that was meant, and asks "Did you mean ...?".
    """
    word = WORDS.get(name) or (f"mg.linalg.{name}" if hasattr(getattr(of, "linalg", None), name) else "")
    return AttributeError(f"{owner} has no attribute {name!r}{word and f'; here it is {word}'}", name=name, obj=of)


class _Elsewhere:
    # An attribute that a Tensor has not, and whose error says what it is here. A `__getattr__` would do the same for
    # all, but with it Python looks up every attribute of a Tensor more slowly.

    __slots__ = ("name",)
    __doc__ = property(lambda self: f"Not here: {WORDS[self.name]}.")

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> NoReturn:
        raise unknown("Tensor", self.name, owner if instance is None else instance)


class WordsOfOthers:
    """What `t.view`, `t.cuda` and the like say. As the last of a Tensor's bases, it is the end of `help(mg.Tensor)`."""

    __slots__ = ()

    def __dir__(self) -> list[str]:
        """The names that are there, so that completion offers no others."""
        return [name for name in super().__dir__() if name not in WORDS or hasattr(type(self), name)]


for _name in WORDS:
    setattr(WordsOfOthers, _name, _Elsewhere(_name))
