"""The page of a tape, used in a browser (Debian: chromium and chromium-driver; skipped without one)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
from browser import data_of

import minigrad as mg
import nn
from minigrad.inspect import Explanation, Tape, page
from minigrad.inspect.html import WEB, filled

XS = np.random.default_rng(0).standard_normal((6, 2, 3))
HOSTILE = '</script><img src=x onerror="alert(1)">\u202e\x00{{DATA}}&lt;'


def product(x: Any) -> Any:
    y = mg.tanh(x)
    return x * y


def recurrent() -> Tape:
    net = nn.RNN(3, 4, rng=0, dtype=float)
    return mg.tape(lambda xs: (net(xs)[0][-1] ** 2).sum(), XS)


def number(text: str) -> float:
    return float(text.replace("−", "-").strip("()"))


class Page(browser.Page):
    """What a reader of the page sees and does."""

    def where(self) -> str:
        return self.text("#where")

    def rules(self) -> list[str]:
        return [pre.get_property("textContent") for pre in self.all("pre.rule")]

    def cards(self) -> list[tuple[str, str]]:
        """The title and the number or the range of each array."""
        parts = [card.text.split("\n") for card in self.all(".array")]
        return [(part[0].split(" (")[0], part[-1]) for part in parts]

    def arcs(self, kind: str) -> int:
        return len(self.all(f"#rows path.{kind}"))


@pytest.fixture
def opened(driver: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens the page of a tape; nothing may have gone wrong in it when the test is over."""
    pages = []

    def open_(tape: Tape, place: str = "", **options: Any) -> Page:
        tape.page(str(tmp_path / "tape.html"), **options)
        pages.append(Page(driver, tmp_path / "tape.html", place))
        return pages[-1]

    yield open_
    for each in pages:
        each.assert_clean()


# --- what is in it --------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = filled(WEB / "tape.html", {})
    assert not re.search(r"https?:(?!//www.w3.org/2000/svg)|\bsrc=|<link|@import|url\(|fetch\(|innerHTML|eval\(", text)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[\w+/=]+'; script-src 'sha256-[\w+/=]+'", policy)


def test_its_numbers_are_those_of_the_tape_and_its_explanation(tmp_path: Path) -> None:
    tape = recurrent()
    explanation = Explanation(tape)
    explanation.page(str(tmp_path / "tape.html"), title="T")
    data = data_of(tmp_path / "tape.html")
    sizes = [rows * columns for _, rows, columns, _, _ in data["arrays"]]
    numbers = np.split(np.frombuffer(base64.b64decode(data["numbers"]), "<f4"), np.cumsum(sizes)[:-1])
    assert data["title"] == "T"
    for entry, shown in zip(tape, data["entries"], strict=True):
        assert [x for x in shown["inputs"] if isinstance(x, int)] == list(entry.inputs)
        np.testing.assert_allclose(numbers[shown["value"]], np.ravel(entry.value), rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(numbers[shown["g"]], np.ravel(explanation.gradients[entry]), rtol=1e-6, atol=1e-30)
        assert shown["norm"] == pytest.approx(explanation.norms[entry], rel=1e-5)


def test_five_thousand_entries_stay_under_five_megabytes(tmp_path: Path) -> None:
    x = y = mg.tensor(np.linspace(0.1, 0.9, 64).reshape(8, 8), requires_grad=True)
    rng = np.random.default_rng(0)
    for k in rng.integers(4, size=5000):
        y = (mg.tanh, mg.sin, mg.cos, lambda y: y * x)[k](y)
    mg.tape(y.sum()).page(str(tmp_path / "tape.html"))
    assert (tmp_path / "tape.html").stat().st_size < 5_000_000


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "ENTRIES", 2)
    with pytest.raises(ValueError, match="3 entries are too many for a page, which holds 2"):
        mg.tape(product, 0.5).page(str(tmp_path / "tape.html"))


# --- stepping -------------------------------------------------------------------------------------------------------


def test_keys_buttons_and_slider_step_forwards_and_then_backwards(opened: Any) -> None:
    page = opened(mg.tape(product, 0.5))
    assert page.where() == "forwards 1 of 3"
    page.keys("ARROW_RIGHT", "ARROW_RIGHT")
    assert (page.where(), page.text("#what")) == ("forwards 3 of 3", "%2 = multiply(%0, %1)")
    page.one("#forth").click()
    assert page.where() == "backwards 1 of 3"
    page.keys("END")
    assert (page.where(), page.text("#what")) == ("backwards 3 of 3", "%0 = x")
    page.one("#forth").click()  # there is nothing after it
    page.one("#back").click()
    assert page.where() == "backwards 2 of 3"
    page.keys("b")
    assert page.where() == "forwards 2 of 3"
    page.keys("HOME")
    page.keys("ARROW_RIGHT", to="#slider")
    assert page.where() == "forwards 2 of 3"
    page.all(".row")[2].click()
    assert page.where() == "forwards 3 of 3"
    page.keys("ARROW_UP", to="#scroll")
    assert page.where() == "forwards 2 of 3"


def test_play_goes_on_by_itself_until_it_is_stopped(opened: Any) -> None:
    page = opened(mg.tape(product, 0.5), "#f0")
    page.driver.execute_script("play(true)")
    assert page.one("#play").get_dom_attribute("aria-pressed") == "true"
    page.wait(lambda: page.where() != "forwards 1 of 3")
    page.keys(" ")
    assert page.one("#play").get_dom_attribute("aria-pressed") == "false"


def test_a_step_is_where_the_address_says(opened: Any) -> None:
    page = opened(mg.tape(product, 0.5), "#b1")
    assert page.where() == "backwards 2 of 3"
    page.keys("ARROW_RIGHT")
    assert page.driver.current_url.endswith("#b0")


# --- what a step shows ----------------------------------------------------------------------------------------------


def test_forwards_shows_the_inputs_and_the_result(opened: Any) -> None:
    page = opened(mg.tape(product, 0.5), "#f2")
    assert page.cards() == [("%0", "x"), ("%1", "0.46212"), ("%2", "0.23106")]
    assert page.arcs("value") == 2
    assert page.arcs("cotangent") == 0


def test_backwards_shows_what_arrives_the_rule_and_the_same_with_its_symbols_filled_in(opened: Any) -> None:
    page = opened(mg.tape(product, 0.5), "#b1")
    assert page.cards() == [("from %2", "0.5"), ("to %0", "0.39322")]
    assert page.rules() == ["g * (1 - y * y)", "0.5 * (1 - 0.4621 * 0.4621) = 0.3932"]
    symbols = [(s.text, s.get_dom_attribute("class")) for s in page.all("pre.rule:first-of-type span")]
    assert symbols[:3] == [("g", "sym-g"), ("y", "sym-y"), ("y", "sym-y")]
    assert page.arcs("cotangent") == 2  # to its input, and from its user


def test_cotangents_are_shown_as_a_sum(opened: Any) -> None:
    page = opened(mg.tape(product, 0.5), "#b0")
    (first, _), (second, _), (total, _) = page.cards()
    assert (first, second, total) == ("from %2", "from %1", "g of %0")
    terms = [number(big.text) for big in page.all(".array .big")]
    assert terms[0] + terms[1] == pytest.approx(terms[2], abs=1e-5)
    assert [sign.text for sign in page.all(".sign")] == ["+", "="]


def test_broadcasting_parts_and_products_are_named(opened: Any) -> None:
    x, W, b = np.ones((4, 3)), np.ones((3, 2)), np.zeros(2)
    tape = mg.tape(lambda x, W, b: mg.linear(x, W, b)[0].sum(), x, W, b)
    page = opened(tape, "#b3")
    assert "summed down from (4, 2)" in page.text("#body")
    assert "a product xᵀ g of (4, 3) and (4, 2), queued" in page.text("#body")
    assert "added in place, at [0]" in page.text("#body")
    assert "def _matmul_b(g: Any, a: Any, ndim: int)" in page.text("#body")


def test_numbers_of_a_heat_map_are_read_by_pointing_and_by_keys(opened: Any) -> None:
    values = np.arange(40.0).reshape(2, 2, 10) - 7
    page = opened(mg.tape(lambda x: (x * 1.0).sum(), values), "#f0")
    canvas = page.one("canvas")
    assert canvas.accessible_name == "array (2, 2, 10), −7 … 32"
    page.point_at(canvas)
    index, shown = re.fullmatch(r"\[(\d), (\d), (\d)\] = (.*)", page.text("#tip")).groups()[:3], page.text("#tip")
    assert number(shown.split("= ")[1]) == values[tuple(map(int, index))]
    page.keys("ARROW_UP", "ARROW_UP", "ARROW_UP", *["ARROW_LEFT"] * 10, "ARROW_RIGHT", to="canvas")
    assert page.text("#tip") == "[0, 0, 1] = −6"
    assert canvas.accessible_name.endswith("; [0, 0, 1] = −6")
    assert page.where() == "forwards 1 of 3"  # the keys were the array's


def test_a_heat_map_is_blue_below_zero_and_orange_above(opened: Any) -> None:
    page = opened(mg.tape(lambda x: (x * 1.0).sum(), np.array([[-1.0] * 8, [1.0] * 8, [0.0] * 8])), "#f0")
    column = "const c = document.querySelector('canvas'), read = c.getContext('2d').getImageData(2, 0, 1, c.height);"
    pixels = np.array(page.driver.execute_script(f"{column} return [...read.data]")).reshape(3, -1, 4)
    below, above, zero = pixels[:, 2]
    assert below[2] > below[0]
    assert above[0] > above[2]
    assert (below[3], above[3], zero[3]) == (255, 255, 0)


def test_numbers_beyond_single_precision_are_shown_as_they_are(opened: Any) -> None:
    page = opened(mg.tape(lambda x: x * 1e300, 0.5), "#f1")
    assert page.cards()[-1][1] == "5.00e+299"
    with np.errstate(all="ignore"):
        page = opened(mg.tape(lambda x: mg.log(x).sum(), np.array([0.0, -1.0, 1.0])), "#f1")
    assert page.cards()[-1][1] == "2 not finite, 0 … 0"
    assert [td.text for td in page.all(".array.y td")] == ["−∞", "NaN", "0"]


def test_arrays_of_no_entries_and_values_that_were_not_kept_are_said_so(opened: Any) -> None:
    page = opened(mg.tape(lambda x: x.sum(), np.zeros((0, 3))), "#f0")
    assert page.cards() == [("%0", "x")]
    assert "no entries" in page.text("#body")
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    page = opened(mg.tape(mg.tanh(x + 1.0).sum()), "#f1")
    assert "the value was not kept" in page.text("#body")
    assert "record_details" in page.text("#remarks")
    assert not page.one("#source").is_displayed()


def test_the_line_of_source_is_marked(opened: Any) -> None:
    page = opened(mg.tape(product, 0.5), "#f1")
    assert page.text("#code [aria-current]").endswith("y = mg.tanh(x)")
    assert page.text("#code .file").endswith(" in product")
    page.keys("ARROW_RIGHT")
    assert page.text("#code [aria-current]").endswith("return x * y")


def test_any_text_is_shown_and_nothing_in_it_is_run(opened: Any) -> None:
    def hostile(x: Any) -> Any:
        with mg.scope(HOSTILE):
            y = mg.primitive(lambda x: x * 2.0, lambda g, y, x: 2 * g, name=HOSTILE)(x)
            mg.label(y, HOSTILE)
            return y.sum()

    page = opened(mg.tape(hostile, np.ones(3)), "#b1", title=HOSTILE)
    assert page.driver.title.startswith("</script><img")
    assert page.all("img") == []
    assert len(page.all("script")) == 2
    assert '</script><img src=x onerror="alert(1)">U+202E␀{{DATA}}&lt;' in page.text("#what")
    page = opened(mg.tape(lambda x: x * 1.0, 0.5), title="{{POLICY}} {{DATA}} {{tape.js}}")
    assert page.driver.title == "{{POLICY}} {{DATA}} {{tape.js}}"


# --- time -----------------------------------------------------------------------------------------------------------


def test_time_is_folded_and_the_same_entry_is_found_at_other_steps(opened: Any) -> None:
    tape = recurrent()
    (last,) = tape.find("tanh", step=5)
    page = opened(tape, f"#b{last.number}")
    assert page.text(".row.block").startswith("× 6◀step 5▶")
    assert len(page.all(".row")) == len(tape) + 1 - 5 * 3
    assert not page.all("#rows path.cotangent.other")
    page.one(".row.block [aria-label='Previous turn']").click()
    assert page.all("#rows path.cotangent.other")  # from the next step, whose entries are not shown
    assert page.text("#what").startswith(f"%{last.number - 3} = tanh")
    assert page.where().endswith("time step 4")
    page.shifted("ARROW_LEFT")
    assert page.where().endswith("time step 3")


def test_a_strip_shows_the_size_of_the_gradient_at_each_step(opened: Any) -> None:
    tape = recurrent()
    norms = Explanation(tape).norms["cells.0"]
    page = opened(tape)
    bars = page.all("#strips .bars button")
    heights = [
        number(bar.find_element("css selector", "u").get_dom_attribute("style").split(":")[1].strip(" %;"))
        for bar in bars
    ]
    np.testing.assert_allclose(heights, 100 * norms / norms.max(), atol=0.01)
    assert [bar.accessible_name.split(":")[0] for bar in bars] == [f"step {t}" for t in range(6)]
    assert page.text("#strips b") == "cells.0.state"
    assert [end.text for end in page.all("#strips .axis span")] == ["step 0", "step 5"]
    factor = (norms[0] / norms[-1]) ** (1 / 5)
    assert number(re.search(r"× (\S+) a step back", page.text("#strips"))[1]) == pytest.approx(factor, abs=1e-3)
    bars[2].click()
    assert page.where().startswith("backwards")
    assert page.where().endswith("time step 2")
    assert [bar.get_dom_attribute("aria-pressed") for bar in page.all("#strips .bars button")].index("true") == 2


def test_a_strip_without_a_gradient_says_so(opened: Any) -> None:
    page = opened(mg.tape(lambda x: mg.sum(nn.RNN(2, 3, rng=0)(x)[0][-1] * 0.0), np.ones((3, 1, 2), np.float32)))
    assert page.text("#strips .note") == "g = 0 at every step"


def test_many_entries_are_listed_as_far_as_they_are_seen(opened: Any) -> None:
    x = mg.tensor(0.5, requires_grad=True)
    y, rng = x, np.random.default_rng(0)
    for k in rng.integers(3, size=2000):
        y = (mg.tanh, mg.sin, mg.cos)[k](y)
    page = opened(mg.tape(y), "#f1500")
    assert len(page.all(".row")) < 100
    assert page.one(".row[aria-selected=true]").text.startswith("%1500")
    page.driver.execute_script("document.querySelector('#scroll').scrollTop = 0")
    page.wait(lambda: page.all("#row-3"))


# --- for everyone ---------------------------------------------------------------------------------------------------


def test_light_and_dark_narrow_and_wide(opened: Any) -> None:
    tape = recurrent()
    page = opened(tape, f"#b{len(tape) - 6}")
    page.assert_light_and_dark()
    page.assert_fits(360, 1600)
    page = opened(mg.tape(lambda x: mg.softmax(x @ x.T).sum(), np.ones((40, 50))), "#b2")
    page.assert_fits(360, 1600)


def test_a_screen_reader_is_told_each_step_and_every_control_has_a_name(opened: Any) -> None:
    page = opened(recurrent(), "#b8")
    page.assert_controls_have_names()
    page = opened(mg.tape(product, 0.5), "#b2")
    assert page.one("#said").get_dom_attribute("aria-live") == "polite"
    assert page.text("#said") == "backwards 1 of 3: multiply, entry 2, gives to entry 0 and entry 1"
    assert page.one("#scroll").get_dom_attribute("aria-activedescendant") == "row-2"
    chosen = page.one(".row[aria-selected=true]")
    assert (chosen.get_dom_attribute("id"), chosen.get_dom_attribute("aria-posinset")) == ("row-2", "3")
    assert page.one("#slider").get_dom_attribute("aria-valuetext") == "backwards 1 of 3"
