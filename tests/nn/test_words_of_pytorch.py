"""Words of PyTorch's and other tools: each is answered by one that is there, and attributes behave as ever."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from nn import init, words

LSTM = nn.LSTM(2, 3, rng=0)
ADAM = nn.Adam(LSTM.parameters())
TABLES: dict[str, tuple[Any, Any]] = {
    "nn": (nn, words.NAMES),
    "init": (init, words.INITS),
    "module": (LSTM, words.OF_MODULES),
    "optimiser": (ADAM, words.OF_OPTIMIZERS),
}
CASES = [(owner, name, hint) for owner, table in TABLES.values() for name, hint in table.items()]


@pytest.mark.parametrize(("owner", "name", "hint"), CASES, ids=[name for _, name, _ in CASES])
def test_every_word_of_pytorchs_raises_an_attribute_error_that_names_ours(owner: Any, name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=rf"has no attribute {name!r}.*PyTorch.*") as caught:
        getattr(owner, name)
    assert str(caught.value).endswith(hint)
    assert not hasattr(owner, name)
    assert getattr(owner, name, 7) == 7


@pytest.mark.parametrize("hint", sorted({hint for _, _, hint in CASES} | set(words.KEYWORDS.values())))
def test_what_a_hint_names_is_there(hint: str) -> None:
    places = {"nn": nn, "mg": mg, "np": np, "module": nn.Linear(2, 2), "optimizer": ADAM, "net": LSTM, "init": init}
    for path in re.findall(r"\b((?:nn|mg|np|module|optimizer|net)(?:\.\w+|\[0\])+)", hint):
        owner, *names = path.replace("[0]", ".0").split(".")
        found: Any = places[owner]
        for part in names:
            found = found[0] if part == "0" else getattr(found, part)


@pytest.mark.parametrize("word", words.KEYWORDS)
def test_every_keyword_of_pytorchs_raises_and_names_ours(word: str) -> None:
    for make in (nn.LSTM, nn.GRUCell, nn.Linear, nn.Recurrent):
        with pytest.raises(TypeError, match=rf"{make.__name__}: there is no argument {word}=") as caught:
            make(2, 3, **{word: 4})
        assert words.KEYWORDS[word] in str(caught.value)


OTHERS = [(whose, word) for whose, table in words.KEYWORDS_OF.items() for word in table]


@pytest.mark.parametrize(("whose", "word"), OTHERS)
def test_a_keyword_of_another_tools_says_whose_it_is_to_layers_cells_and_optimisers(whose: str, word: str) -> None:
    told = re.escape(f"there is no argument {word}=, which is {whose}; here: {words.KEYWORDS[word]}")
    for make in (nn.LSTM, nn.MGUCell, nn.Dropout, nn.Embedding):
        with pytest.raises(TypeError, match=f"^{make.__name__}: {told}$"):
            make(**{word: 4})
    for optimizer in (nn.SGD, nn.RMSprop):
        with pytest.raises(TypeError, match=f"^{optimizer.__name__}: {told}$"):
            optimizer(LSTM.parameters(), **{word: 4})


def test_no_keyword_of_our_own_is_told_to_be_another_tools() -> None:
    taken = {
        name for n in nn.__all__ if isinstance(getattr(nn, n), type) for name in words.parameters_of(getattr(nn, n))
    }
    assert taken & words.KEYWORDS.keys() == set()
    assert len(OTHERS) == len(words.KEYWORDS)  # none is in two tables


@pytest.mark.parametrize(
    ("make", "taken"),
    [
        (
            lambda **k: nn.EchoStateCell(2, 3, **k),
            "EchoStateCell: .* it takes I, H, rng, dtype, alpha, radius, input_scale",
        ),
        (lambda **k: nn.LSTM(2, 3, **k), "LSTMCell: .* it takes I, H, bias, rng, dtype, forget_bias"),
        (lambda **k: nn.Recurrent(nn.RNNCell(2, 3), **k), "Recurrent: .* it takes cells, num_layers, bidirectional, "),
        (lambda **k: nn.Adam(LSTM.parameters(), **k), "Adam: .* it takes params, lr, betas, eps"),
    ],
)
def test_a_keyword_that_is_nobodys_is_answered_by_those_that_are_taken(make: Any, taken: str) -> None:
    with pytest.raises(TypeError, match=taken.replace(": .*", ": there is no argument nobodys=;")):
        make(nobodys=1)


@pytest.mark.parametrize(("make", "word", "meant"), [(nn.LSTM, "num_layer", "num_layers"), (nn.Linear, "bia", "bias")])
def test_a_keyword_that_is_nearly_ours_is_answered_by_the_one_that_is_meant(make: Any, word: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"^{make.__name__}: there is no argument {word}=; did you mean {meant}=.$"):
        make(2, 3, **{word: 2})


@pytest.mark.parametrize(("owner", "word"), [(nn, "Lstm"), (LSTM, "forwrad"), (ADAM, "setp")])
def test_python_can_look_for_the_attribute_that_was_meant(owner: Any, word: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(owner, word)
    assert (caught.value.name, caught.value.obj) == (word, owner)


def test_a_users_optimiser_may_take_any_keyword() -> None:
    class Own(nn.SGD):
        def __init__(self, params: Any, learning_rate: float, **others: Any) -> None:
            super().__init__(params, lr=learning_rate)

    assert Own(LSTM.parameters(), learning_rate=0.5, units=3).lr == 0.5


def test_a_users_module_may_take_any_keyword_and_have_any_attribute() -> None:
    class Own(nn.Module):
        def __init__(self, **options: Any) -> None:
            self.options, self.weight = options, 3

        device = "cpu"

    class Named(nn.RNNCell):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)

    assert Own(hidden_size=3).options == {"hidden_size": 3}
    assert (Own().weight, Own().device) == (3, "cpu")
    assert Named(input_size=2, hidden_size=3).H == 3


def test_other_attributes_that_are_not_there_raise_as_ever() -> None:
    for owner, name in [(nn, "Nothing"), (nn.Linear(2, 2), "nothing"), (ADAM, "nothing"), (init, "nothing")]:
        with pytest.raises(AttributeError, match=rf"has no attribute '{name}'$"):
            getattr(owner, name)
    with pytest.raises(ImportError):
        from nn import Parameter  # noqa: F401


def test_the_error_of_a_property_is_not_hidden() -> None:
    class Own(nn.Module):
        @property
        def cuda(self) -> Any:
            return self.forgotten

    with pytest.raises(AttributeError, match="no attribute 'forgotten'"):
        Own().cuda  # noqa: B018


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_modules_and_optimisers_copy_and_pickle(copied: Any) -> None:
    net, optimizer = copied(LSTM), copied(ADAM)
    np.testing.assert_array_equal(net.cells[0].W.data, LSTM.cells[0].W.data)
    assert optimizer.lr == ADAM.lr
