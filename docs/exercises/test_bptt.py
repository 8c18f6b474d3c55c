"""Chapter 4: the gradients of all states are those that fall out of the walk."""

import numpy as np
import pytest

import minigrad as mg


def states(W, xs, own):
    """All states of a net, and the gradients that minigrad finds."""
    seen = []

    def loss(W, xs):
        h, total = np.zeros(xs.shape[1:]), 0.0
        for t in mg.steps(range(len(own))):
            h = mg.tanh(h @ W + xs[t])
            mg.label(h, "h")
            seen.append(h.data)
            total = total + mg.sum(h * own[t])
        return total

    gradients = mg.explain(loss, W, xs).gradients["h"]
    return np.stack(seen), gradients


@pytest.mark.parametrize("T", [1, 2, 6])
def test_gradients_of_all_states_are_those_of_the_walk(answer, T):
    rng = np.random.default_rng(T)
    W, xs, own = rng.standard_normal((3, 3)), rng.standard_normal((T, 2, 3)), rng.standard_normal((T, 2, 3))
    hs, expected = states(W, xs, own)
    np.testing.assert_allclose(answer.state_gradients(hs, W, own), expected, rtol=1e-10, err_msg=f"{T} steps")


def test_a_loss_that_reads_the_last_state_only_reaches_the_first(answer):
    rng = np.random.default_rng(0)
    W, xs, own = rng.standard_normal((3, 3)), rng.standard_normal((5, 2, 3)), np.zeros((5, 2, 3))
    own[-1] = 1.0
    hs, expected = states(W, xs, own)
    g = answer.state_gradients(hs, W, own)
    np.testing.assert_allclose(g[0], expected[0], rtol=1e-10)
    assert own[0].tolist() == [[0.0] * 3] * 2, "own was changed in place"
