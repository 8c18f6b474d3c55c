"""Flax (linen and nnx), Equinox and Haiku: run with them, records what they compute. See `record`."""

import sys

import equinox as eqx
import flax
import flax.linen as linen
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from cases import LENGTHS, B, Draws, H, I, T, case, flat, nested, past_end, write
from flax import nnx

jax.config.update("jax_default_matmul_precision", "highest")


def recorded(draws, weights, cells, run, width, lengths=None):
    """A case of `run(weights, xs, states) -> outputs, finals`; `cells` has the number of parts of each one's state."""
    xs = draws(T, B, I)
    states = [tuple(draws(B, H) for _ in range(n)) for n in cells]
    gs = draws(T, B, width), [tuple(draws(B, H) for _ in range(n)) for n in cells]
    if lengths is not None:
        gs = past_end(gs[0], lengths), gs[1]

    def loss(weights, xs, states):
        results = run(weights, xs, states)
        return sum((g * y).sum() for g, y in zip(jax.tree.leaves(gs), jax.tree.leaves(results), strict=True)), results

    by, results = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(weights, xs, states)
    grads = {"weights/" + name: g for name, g in by[0].items()} | {"xs": by[1]}
    grads |= {f"state/{k}/{j}": g for k, parts in enumerate(by[2]) for j, g in enumerate(parts)}
    return case(weights, xs, states, results, gs, grads, lengths)


def parts(carry):
    return carry if isinstance(carry, tuple) else (carry,)


def whole(state):
    return state if len(state) == 2 else state[0]


def part(weights, prefix):
    return nested({name.removeprefix(prefix): a for name, a in weights.items() if name.startswith(prefix)})


def flax_case(make, n, layers, directions, lengths):
    """`make(I, H)` gives (weights' names and shapes, run(params, xs (T, B, I), state, reverse, lengths))."""
    draws, weights, runs = Draws(), {}, []
    for k in range(layers * directions):
        shapes, run = make(I if k < directions else directions * H)
        weights |= {f"{k}/{name}": draws(*shape) for name, shape in sorted(shapes.items())}
        runs.append(run)

    def run_all(weights, xs, states):
        finals = []
        for layer in range(layers):
            sides = []
            for k in range(layer * directions, (layer + 1) * directions):
                final, ys = runs[k](part(weights, f"{k}/"), xs, whole(states[k]), k % directions == 1, lengths)
                finals.append(parts(final))
                sides.append(ys)
            xs = jnp.concatenate(sides, -1)
        return xs, finals

    return recorded(draws, weights, [n] * layers * directions, run_all, directions * H, lengths)


def linen_cell(kind, **options):
    def make(width):
        cell = getattr(linen, kind)(H, **options)
        carry = cell.initialize_carry(jax.random.key(0), (B, width))
        shapes = jax.tree.map(np.shape, cell.init(jax.random.key(0), carry, jnp.ones((B, width)))["params"])

        def run(params, xs, state, reverse, lengths):
            rnn = linen.RNN(cell, return_carry=True, time_major=True, reverse=reverse, keep_order=True)
            return rnn.apply({"params": {"cell": params}}, xs, initial_carry=state, seq_lengths=lengths)

        return flat(shapes), run

    return make


def nnx_cell(kind):
    def make(width):
        cell = getattr(nnx, kind)(width, H, rngs=nnx.Rngs(0))
        graph, state, rest = nnx.split(cell, nnx.Param, ...)
        names = {"/".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(state)}

        def run(params, xs, carry, reverse, lengths):
            filled = nnx.from_flat_state([(path, leaf.replace(flat(params)["/".join(map(str, path))]))
                                          for path, leaf in nnx.to_flat_state(state)])  # fmt: skip
            rnn = nnx.RNN(nnx.merge(graph, filled, rest), return_carry=True, time_major=True, reverse=reverse,
                          keep_order=True, rngs=nnx.Rngs(0))  # fmt: skip
            return rnn(xs, initial_carry=carry, seq_lengths=lengths)

        return {name: leaf.get_value().shape for name, leaf in names.items()}, run

    return make


def equinox_case(kind, n, bias=True):
    draws = Draws()
    cell = getattr(eqx.nn, kind)(I, H, use_bias=bias, key=jax.random.key(0))
    names = [name for name in ("weight_ih", "weight_hh", "bias", "bias_n") if getattr(cell, name, None) is not None]
    weights = {name: draws(*getattr(cell, name).shape) for name in names}

    def run(weights, xs, states):
        filled = eqx.tree_at(lambda c: [getattr(c, name) for name in names], cell, [weights[name] for name in names])

        def step(state, x):
            state = jax.vmap(filled)(x, state)
            return state, parts(state)[0]

        final, ys = jax.lax.scan(step, whole(states[0]), xs)
        return ys, [parts(final)]

    return recorded(draws, weights, [n], run, H)


def haiku_case(kind, n, layers):
    draws = Draws()

    def forward(xs, states):
        cells = [getattr(hk, kind)(H) for _ in range(layers)]
        core = hk.DeepRNN(cells) if layers > 1 else cells[0]
        wrapped = [hk.LSTMState(*s) if n == 2 else s[0] for s in states]
        ys, final = hk.dynamic_unroll(core, xs, tuple(wrapped) if layers > 1 else wrapped[0])
        final = final if layers > 1 else (final,)
        return ys, [(s.hidden, s.cell) if n == 2 else (s,) for s in final]

    net = hk.without_apply_rng(hk.transform(forward))
    shapes = flat(net.init(jax.random.key(0), jnp.ones((T, B, I)), [(jnp.ones((B, H)),) * n] * layers))
    weights = {name: draws(*a.shape) for name, a in sorted(shapes.items())}

    def run(weights, xs, states):
        params = {}
        for name, a in weights.items():
            module, own = name.rsplit("/", 1)
            params.setdefault(module, {})[own] = a
        return net.apply(params, xs, states)

    return recorded(draws, weights, [n] * layers, run, H)


CASES = {}
for tool, maker, kinds in (
    ("flax.linen", linen_cell, {"LSTMCell": 2, "OptimizedLSTMCell": 2, "GRUCell": 1, "SimpleCell": 1, "MGUCell": 1}),
    ("flax.nnx", nnx_cell, {"LSTMCell": 2, "OptimizedLSTMCell": 2, "GRUCell": 1, "SimpleCell": 1}),
):
    for kind, n in kinds.items():
        CASES[f"{tool}.{kind}"] = flax_case(maker(kind), n, 1, 1, None)
        CASES[f"{tool}.{kind}, 2 layers, 2 directions, lengths"] = flax_case(maker(kind), n, 2, 2, LENGTHS)
for kind, n in (("LSTMCell", 2), ("GRUCell", 1)):
    CASES[f"equinox.nn.{kind}"] = equinox_case(kind, n)
    CASES[f"equinox.nn.{kind}, no bias"] = equinox_case(kind, n, False)
for kind, n in (("LSTM", 2), ("GRU", 1), ("VanillaRNN", 1)):
    CASES[f"haiku.{kind}"] = haiku_case(kind, n, 1)
    CASES[f"haiku.{kind}, 2 layers"] = haiku_case(kind, n, 2)

if __name__ == "__main__":
    packages = {"jax": jax, "flax": flax, "equinox": eqx, "haiku": hk}
    write(sys.argv[1], CASES, {name: package.__version__ for name, package in packages.items()})
