"""Reverse-mode automatic differentiation in one page; names as in minigrad, where each idea has a grown-up twin.

A program is a list of primitives applied to arrays. Four ideas make derivatives of it: a record, one rule per input,
sums of cotangents, one walk. A tensor's cotangent is g = dL/dx: how fast the result L changes with each entry of x.
"""

import itertools

import numpy as np

# --- 1. A record: every tensor knows how it was made (minigrad/tensor.py; in record.py its Node does) ----------------
clock = itertools.count().__next__  # what is made later has a higher number


class Tensor:
    """An array and how it was made: `primitive(*inputs, **static)`; static is an axis, say. A leaf was made by none."""

    __array_ufunc__ = None  # array + tensor is this class's business, not NumPy's

    def __init__(self, data, primitive=None, inputs=(), static=None):
        self.data, self.order, self.grad = np.asarray(data, dtype=float), clock(), None
        self.primitive, self.inputs, self.static = primitive, inputs, static or {}

    shape = property(lambda self: self.data.shape)
    T = property(lambda self: transpose(self))
    __add__ = __radd__ = lambda x, y: add(x, y)
    __mul__ = __rmul__ = lambda x, y: multiply(x, y)
    __neg__ = lambda x: multiply(x, -1.0)
    __sub__, __rsub__ = lambda x, y: x + -y, lambda x, y: y + -x
    __matmul__, __rmatmul__ = lambda x, y: matmul(x, y), lambda x, y: matmul(y, x)
    __getitem__ = lambda x, index: getitem(x, index=index)

    def backward(self):
        """Add dL/dleaf into `.grad` of every leaf. The rules are handed arrays: fast, and nothing new is recorded."""
        for t, g in walk(self, np.ones(self.shape), recorded=False).items():
            if t.primitive is None:
                t.grad = g + (0.0 if t.grad is None else t.grad)


# --- 2. A primitive: a NumPy function and one rule per input (minigrad/primitive.py; the table: ops.py, shapes.py) --
class Primitive:
    """On arrays it is the NumPy function. On Tensors it computes the same and makes a Tensor that remembers the call.

    An input's rule `(g, output, *inputs, **static)` turns the output's cotangent g into that input's. Rules are written
    with primitives, so that they run on Tensors too: that is all that second derivatives need.
    """

    def __init__(self, function, *rules):
        self.function, self.rules = function, rules

    def __call__(self, *inputs, **static):
        y = self.function(*[array(x) for x in inputs], **static)
        return Tensor(y, self, inputs, static) if any(isinstance(x, Tensor) for x in inputs) else y


def array(x):
    return x.data if isinstance(x, Tensor) else x


def placed(g, index, shape):  # zeros, and g added at the index: an entry that is read twice gets the sum
    out = np.zeros(shape)
    np.add.at(out, index, g)
    return out


add = Primitive(np.add, lambda g, z, x, y: g, lambda g, z, x, y: g)
multiply = Primitive(np.multiply, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x)
matmul = Primitive(np.matmul, lambda g, z, a, b: g @ b.T, lambda g, z, a, b: a.T @ g)  # matrices
tanh = Primitive(np.tanh, lambda g, y, x: g * (1 - y * y))
exp = Primitive(np.exp, lambda g, y, x: g * y)
log = Primitive(np.log, lambda g, y, x: g * exp(-y))  # 1 / x
transpose = Primitive(np.transpose, lambda g, y, x: g.T)
reshape = Primitive(lambda x, shape: np.reshape(x, shape), lambda g, y, x, shape: reshape(g, shape=x.shape))
broadcast_to = Primitive(np.broadcast_to, lambda g, y, x, shape: g)
sum = Primitive(lambda x, axis: np.sum(x, axis, keepdims=True), lambda g, y, x, axis: broadcast_to(g, shape=x.shape))
getitem = Primitive(lambda x, index: x[index], lambda g, y, x, index: place(g, index=index, shape=x.shape))
place = Primitive(placed, lambda g, y, x, index, shape: g[index])
sigmoid = lambda x: 0.5 * tanh(0.5 * x) + 0.5  # composed of others: needs no rule


# --- 3. Sums of cotangents (minigrad/accumulate.py) -----------------------------------------------------------------
def sum_down(g, shape):
    """g, of a shape that an input was broadcast to, summed down to the input's own: what was copied gets the sum."""
    lead = len(g.shape) - len(shape)
    copied = [k for k, n in enumerate(g.shape) if k < lead or (shape[k - lead] == 1 and n > 1)]
    return reshape(sum(g, axis=tuple(copied)), shape=shape) if copied else g


# --- 4. One walk (minigrad/backward.py) -----------------------------------------------------------------------------
def lineage(output):
    """All that the output was made from, newest first: what a tensor was made from comes after it."""
    found, seen = [output], {output}
    for t in found:  # a list that grows meanwhile; no recursion, so a loop of 100 000 steps is no problem
        new = {x for x in t.inputs if isinstance(x, Tensor)} - seen
        seen |= new
        found += new
    return sorted(found, key=lambda t: -t.order)


def walk(output, g, recorded=True):
    """The cotangent of each tensor. Its users are newer and come first, so its sum is complete: one visit is enough."""
    sums = {output: g}
    for t in lineage(output):  # rules that get Tensors are recorded: so cotangents can be differentiated in turn
        y, inputs = (t, t.inputs) if recorded else (t.data, [array(x) for x in t.inputs])
        for x, rule in zip(t.inputs, t.primitive.rules if t.primitive else ()):
            if isinstance(x, Tensor):  # plain numbers and arrays are constants
                term = sum_down(rule(sums[t], y, *inputs, **t.static), x.shape)
                sums[x] = sums[x] + term if x in sums else term
    return sums


def grad(f):
    """The gradient of a scalar function as a function (minigrad/transforms.py). grad(grad(f)) walks a walk's record."""

    def wrapped(x):
        x = x + 0.0 if isinstance(x, Tensor) else Tensor(x)  # a new one, which an outer grad's walk passes
        y = f(x)
        return walk(y, Tensor(1.0)).get(x, Tensor(np.zeros(x.shape)))  # f may not depend on x

    return wrapped
