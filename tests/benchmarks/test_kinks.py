"""The page of slopes at kinks says what the code does now, and keeps what cannot be measured here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import kinks

PAGE = Path(__file__).parents[2] / "docs" / "kinks.md"
LIBRARIES = {library.title: library for library in kinks.LIBRARIES}


def on_page(name: str, page: Path = PAGE) -> kinks.Table:
    found = kinks.block(name).search(page.read_text(encoding="utf-8"))
    assert found is not None
    return kinks.read(found[0])


@pytest.mark.parametrize("name", kinks.TABLES)
@pytest.mark.parametrize("title", ["minigrad", "HIPS autograd", "MyGrad"])
def test_page_says_what_is_measured(title: str, name: str) -> None:
    library = LIBRARIES[title]
    if not library.installed():
        pytest.skip(f"{title} is not installed")
    page = on_page(name)
    if library.heading() not in page:
        pytest.skip(f"the page was measured with another version of {title} than {library.heading()}")
    measured = kinks.measured((library,), kinks.TABLES[name][0])
    advice = "python -m benchmarks.kinks --write docs/kinks.md"
    assert page[library.heading()] == measured[library.heading()], f"bring the page up to date: {advice}"


@pytest.mark.parametrize("name", kinks.TABLES)
def test_page_has_a_column_for_each_library_and_an_entry_for_each_row(name: str) -> None:
    page = on_page(name)
    assert [heading.rpartition(" ")[0] or heading for heading in page] == list(LIBRARIES)
    for column in page.values():
        assert list(column) == [row.title for row in kinks.TABLES[name][0]]


def test_entries_tell_slopes_lacking_functions_and_errors_apart() -> None:
    measure = kinks.use_minigrad()

    def refuse(xp: object, x: object) -> None:
        raise ValueError

    assert kinks.cell(measure, kinks.Row("", (3.0, -1.0), lambda xp, x: xp.square(x))) == "6; -2"
    assert kinks.cell(measure, kinks.Row("", (3.0,), lambda xp, x: xp.square(x), value=True)) == "9 / 6"
    assert kinks.cell(measure, kinks.Row("", (0.0,), lambda xp, x: -xp.square(x))) == "0"
    assert kinks.cell(measure, kinks.Row("", (3.0,), lambda xp, x: xp.no_such_function(x))) == kinks.ABSENT
    assert kinks.cell(measure, kinks.Row("", (3.0,), refuse)) == "raises ValueError"


def test_writing_keeps_columns_that_cannot_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "kinks.md"
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("| torch 2.", "| torch 1.").replace("abs(x) at 0 | 1 | 0 |", "abs(x) at 0 | 1 | 7 |"))
    absent = kinks.Library("torch", ("no_such_package",), kinks.use_torch)
    monkeypatch.setattr(kinks, "LIBRARIES", (absent, LIBRARIES["minigrad"]))
    kinks.main(["--write", str(page)])
    written = on_page("slopes", page)
    torch = next(name for name in written if name.startswith("torch 1."))
    assert written[torch]["abs(x) at 0"] == "7"
    assert written["minigrad"] == on_page("slopes")["minigrad"]
    assert capsys.readouterr().err == "torch is not installed: its column stays\n"


def test_a_page_without_a_place_for_the_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "other.md"
    page.write_text("text\n")
    with pytest.raises(SystemExit):
        kinks.main(["--write", str(page)])
    assert "lacks the lines <!-- measured: slopes -->" in capsys.readouterr().err
    assert page.read_text() == "text\n"
