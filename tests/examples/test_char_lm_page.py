"""The page that `explore` writes, used in a browser (Debian: chromium and chromium-driver; skipped without one)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
from char_lm_runs import train
from test_char_lm_explore import unpacked

from examples import char_lm


class Page(browser.Page):
    """What a reader of the page sees and does."""

    def __init__(self, driver: Any, path: Path) -> None:
        super().__init__(driver, path)
        self.T = len(self.data["text"])
        self.values = unpacked(self.data["values"], "i1", len(self.data["units"]), self.T)

    def select(self, name: str, choice: str) -> None:
        from selenium.webdriver.support.select import Select

        Select(self.one(f"#{name}")).select_by_visible_text(choice)

    def listed(self) -> list[int]:
        """The rows of the units in the list."""
        return self.each("#units button", "Number(e.dataset.row)")

    def shown(self) -> int:
        """The row of the unit whose colours the text has, by the list."""
        return int(self.one("#units [aria-current=true]").get_dom_attribute("data-row"))

    def colours(self) -> np.ndarray:
        """The background of each character, (T, 4): red, green, blue and how opaque, from 0 to 1."""
        found = self.driver.execute_script("return spans.map(span => getComputedStyle(span).backgroundColor)")
        numbers = [re.findall(r"[\d.e-]+", colour.removeprefix("color(srgb")) for colour in found]
        return np.array(
            [[*map(float, rgb), float(*(opaque or [1]))] for *rgb, opaque in ([*n[:3], n[3:]] for n in numbers)]
        )

    def assert_colours_of(self, row: int) -> None:
        red, _, blue, opaque = self.colours().T
        expected = self.values[row] / 127
        np.testing.assert_allclose(opaque, abs(expected), atol=0.006)
        seen = abs(expected) > 0.02
        assert seen.any()
        np.testing.assert_array_equal((red > blue)[seen], (expected > 0)[seen])

    def bars(self) -> list[tuple[str, str, bool]]:
        """Character, probability, and whether it is the one that comes."""
        texts = "Array.from(e.querySelectorAll('kbd, span'), part => part.textContent)"
        return [(c, p, kind == "actual") for (c, p), kind in self.each("#bars li", f"[{texts}, e.className]")]


@pytest.fixture
def page(driver: Any, explored: Path) -> Iterator[Page]:
    """The page, newly opened; nothing may have gone wrong in it when the test is over."""
    page = Page(driver, explored)
    yield page
    page.assert_clean()


def test_any_text_is_shown_and_nothing_in_it_is_run(page: Page) -> None:
    assert page.driver.title == page.data["title"] == "What the units of a character-level LSTM do"
    assert page.all("img") == []
    assert len(page.all("script")) == 2
    shown = page.each("#text span", "e.textContent")
    assert len(shown) == page.T
    special = {"\n": "↵", "\t": "⇥", "\x00": "␀", "\x01": "␁", "\x1b": "␛", "\x7f": "␡", "\x85": "U+0085",
               "\u2028": "U+2028", "\u2029": "U+2029", "\u202e": "U+202E", "\u202c": "U+202C", "\u200b": "U+200B",
               "\ufeff": "U+FEFF", "\u0301": "◌\u0301", "\u200d": "U+200D", "\ue000": "U+E000"}  # fmt: skip
    assert shown == [special.get(c, c) for c in page.data["text"]]


def test_the_text_has_the_colours_of_the_unit_that_is_chosen(page: Page) -> None:
    assert page.listed() == list(range(len(page.data["units"])))
    assert page.shown() == 0
    page.assert_colours_of(0)
    page.all("#units button")[17].click()
    assert page.shown() == 17
    page.assert_colours_of(17)
    unit = page.data["units"][17]
    assert page.text("#unit").endswith(f"state {unit['kind']} {unit['number']}, layer {unit['layer']}")
    shown = dict(re.findall(r"([a-z ]+) ([+−]?\d\.\d\d)(?: · |$)", page.text("#correlations")))
    for name, r in zip(page.data["features"], unit["r"]):
        assert float(shown[name].replace("−", "-")) == pytest.approx(r, abs=0.0051)


def test_arrow_keys_and_buttons_step_through_the_units(page: Page) -> None:
    page.keys("ARROW_RIGHT", "ARROW_RIGHT")
    assert page.shown() == 2
    page.assert_colours_of(2)
    page.keys("ARROW_LEFT", "ARROW_LEFT", "ARROW_LEFT")
    assert page.shown() == len(page.data["units"]) - 1
    page.one("#forth").click()
    page.one("#forth").click()
    assert page.shown() == 1
    page.one("#back").click()
    assert page.shown() == 0


def test_arrow_keys_in_the_search_stay_there(page: Page) -> None:
    page.keys("a", "ARROW_LEFT", "ARROW_RIGHT", to="#search")
    assert page.shown() == page.listed()[0]


def test_units_are_found_by_their_layer_state_and_number(page: Page) -> None:
    page.keys("layer 2 c 7", to="#search")
    found = [page.data["units"][row] for row in page.listed()]
    assert {(unit["layer"], unit["kind"], unit["number"]) for unit in found} >= {(2, "c", 7)}
    assert all(unit["layer"] == 2 for unit in found)
    assert page.shown() == page.listed()[0]
    page.assert_colours_of(page.shown())
    page.keys("qq", to="#search")
    assert page.text("#units") == "No unit fits."
    page.keys("ARROW_RIGHT", to="#text")  # with nothing to step through


def test_cell_states_and_hidden_states_can_be_shown_alone(page: Page) -> None:
    kinds = np.array([unit["kind"] for unit in page.data["units"]])
    for choice, kind in (("cell states c", "c"), ("hidden states h", "h")):
        page.select("kind", choice)
        assert page.listed() == np.flatnonzero(kinds == kind).tolist()
        assert kinds[page.shown()] == kind


def test_without_cell_states_there_is_nothing_to_choose_among_them(
    driver: Any, page: Page, text: str, tmp_path: Path
) -> None:
    assert page.one("#kind").is_displayed()
    assert train(text, "--cell", "rnn", "--steps", 2, "--quiet", "--out", tmp_path) == 0
    assert char_lm.main(["explore", str(tmp_path / "checkpoint.safetensors"), "--quick"]) == 0
    other = Page(driver, tmp_path / "explore.html")
    assert not other.one("#kind").is_displayed()
    other.assert_colours_of(0)


@pytest.mark.parametrize("k", [0, *(pytest.param(k, marks=pytest.mark.campaign) for k in (1, 2)), 3])
def test_units_that_follow_a_feature_come_first(page: Page, k: int) -> None:
    page.select("feature", page.data["features"][k])
    strengths = [abs(page.data["units"][row]["r"][k]) for row in page.listed()]
    assert strengths == sorted(strengths, reverse=True)
    assert page.shown() == page.listed()[0]
    assert set(page.each("#units small", "e.innerText")) == {page.data["features"][k]}


def test_pointing_at_a_character_shows_what_is_expected_after_it(page: Page) -> None:
    text, likely = page.data["text"], list(page.data["likely"])
    p = unpacked(page.data["p"], "<u2", page.T, 5) / 65535
    glyph = lambda c: {" ": "␣", "\n": "↵", "\t": "⇥"}.get(c, c)
    spans = page.all("#text span")
    plain = [t for t in range(30, 90) if (text[t : t + 2] + "".join(likely[5 * t : 5 * t + 5])).isascii()]
    for t in plain[:: len(plain) // 6]:
        page.point_at(spans[t])
        bars = page.bars()
        assert [c for c, _, _ in bars[:5]] == [glyph(c) for c in likely[5 * t : 5 * t + 5]]
        for (_, shown, _), expected in zip(bars, p[t]):
            found = 0.0005 if shown.startswith("<") else float(shown.removesuffix(" %")) / 100
            assert found == pytest.approx(expected, abs=0.0051)
        (actual,) = [c for c, _, is_actual in bars if is_actual]
        assert actual == glyph(text[t + 1])
        assert len(bars) == 5 + (text[t + 1] not in likely[5 * t : 5 * t + 5])
        assert page.one("#text .at") == spans[t]


def test_a_character_that_was_not_expected_is_shown_with_its_probability(page: Page) -> None:
    likely = np.array(list(page.data["likely"])).reshape(page.T, 5)
    t = next(t for t in range(page.T - 1) if page.data["text"][t + 1] not in likely[t])
    page.driver.execute_script("look(arguments[0])", t)
    _, shown, is_actual = page.bars()[5]
    p = unpacked(page.data["p_next"], "<u2", page.T)[t] / 65535
    assert is_actual
    assert shown == "< 0.1 %" if p < 0.001 else float(shown.removesuffix(" %")) / 100 == pytest.approx(p, abs=0.0051)


def test_a_click_stays_and_shift_with_arrows_moves_on(page: Page) -> None:
    spans = page.all("#text span")
    spans[5].click()
    page.point_at(page.one("h1"))
    assert page.one("#text .at") == spans[5]
    page.shifted("ARROW_RIGHT", "ARROW_RIGHT")
    assert page.one("#text .at") == spans[7]
    value = page.values[page.shown(), 7] / 127
    assert float(page.text("#value").rpartition("= ")[2].replace("−", "-")) == pytest.approx(value, abs=0.0051)


def test_the_last_character_has_no_successor(page: Page) -> None:
    page.driver.execute_script("look(arguments[0])", page.T - 1)
    assert [is_actual for _, _, is_actual in page.bars()] == [False] * 5


def test_the_slider_changes_temperature_and_text(page: Page) -> None:
    plain = lambda text: "".join(c for c in text if c.isascii() and c.isprintable())
    samples = page.data["samples"]
    assert page.text("#degree") == "0.7"
    page.keys("ARROW_RIGHT", to="#temperature")
    assert page.text("#degree") == "0.8"
    assert plain(page.text("#sample")).startswith(plain(samples[6][1])[:5])
    assert page.one("#temperature").get_dom_attribute("aria-valuetext") == "temperature 0.8"
    page.keys("END", to="#temperature")
    assert page.text("#degree") == "1.5"
    hottest = page.text("#sample")
    page.keys("HOME", to="#temperature")
    assert page.text("#degree") == "0.2"
    assert page.text("#sample") != hottest
    assert page.shown() == 0  # the keys were the slider's alone


def test_light_and_dark(page: Page) -> None:
    page.assert_light_and_dark()


def test_a_phone_shows_it_without_scrolling_sideways(page: Page) -> None:
    page.assert_fits(360)


def test_every_control_has_a_name(page: Page) -> None:
    page.assert_controls_have_names()
