"""docs/onnx.md: its Python runs, text is written from the exported language model, in Python and in a browser."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import driver  # noqa: F401
from char_lm_runs import PERIOD, trained  # noqa: F401
from onnx_cases import needs_runtime

from examples import char_lm
from examples.char_lm_checkpoint import read_model

pytestmark = needs_runtime
PAGE = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text(encoding="utf-8")
#: The folder `dist` of the npm package onnxruntime-web.
WEB = Path(os.environ.get("ONNXRUNTIME_WEB", "node_modules/onnxruntime-web/dist"))


def block(mark: str) -> str:
    """The block of code after this remark."""
    return re.findall(rf"<!-- {mark} -->\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("exported")
    assert char_lm.main(["export", str(trained), str(folder / "model.onnx")]) == 0
    return folder


def test_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PAGE[: PAGE.index("<!-- writes -->")] + PAGE[PAGE.index("## From a file to a model") :]
    scope: dict[str, Any] = {"__name__": "page"}
    for body in re.findall(r"^```python.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(body, scope)
    out = capsys.readouterr().out
    assert out.count("verified by onnxruntime") == 2
    assert "tags float32 (T, B, 4)" in out
    assert "words, lengths -> tags" in out
    assert out.strip().endswith("(3, 2, 4)")


def test_ten_lines_write_from_the_exported_model(exported, monkeypatch, capsys):
    monkeypatch.chdir(exported)
    body = block("writes")
    assert len(body.splitlines()) <= 12
    exec(body, {})
    words = capsys.readouterr().out.split()
    assert len(set(words) & set(PERIOD.split())) >= 7


def test_steps_with_the_state_carried_are_the_model_over_all_of_them(exported, trained):  # noqa: F811
    import onnxruntime

    checkpoint, model = read_model(str(trained))
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    first, *states = session.get_inputs()
    xs = np.array([[checkpoint.vocabulary.index(c), 3] for c in "the quick brown"])
    inputs = {s.name: np.zeros((2, s.shape[1]), np.float32) for s in states}
    found = []
    for x in xs:
        logits, *after = session.run(None, inputs | {first.name: x[None]})
        inputs = {s.name: a for s, a in zip(states, after)}
        found.append(logits[0])
    np.testing.assert_allclose(np.stack(found), model.eval()(xs)[0].data, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_exported_is_told(trained, tmp_path, capsys):  # noqa: F811
    assert char_lm.main(["export", str(trained), str(tmp_path / "model.onyx")]) == 2
    assert "ends in .onnx" in capsys.readouterr().err
    assert char_lm.main(["export", str(tmp_path / "none"), str(tmp_path / "model.onnx")]) == 2
    assert char_lm.main(["export", str(trained), str(tmp_path / "no folder" / "model.onnx")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_vocabulary_of_another_model_in_the_folder_is_kept(trained, tmp_path):  # noqa: F811
    (tmp_path / "vocabulary.json").write_text('["a", "b"]')
    assert char_lm.main(["export", str(trained), str(tmp_path / "model.onnx")]) == 0
    assert (tmp_path / "previous.vocabulary.json").read_text() == '["a", "b"]'
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model.onnx", "vocabulary.json", "previous.vocabulary.json"}


@pytest.mark.skipif(not WEB.is_dir(), reason="onnxruntime-web is not at hand: npm install onnxruntime-web, here")
def test_the_exported_model_writes_in_a_browser(exported, trained, driver):  # noqa: F811
    from selenium.webdriver.support.ui import WebDriverWait

    (exported / "page.html").write_text(block("writes in a browser"), encoding="utf-8")
    shutil.copytree(WEB, exported / "dist", ignore=lambda _, names: [n for n in names if not _needed(n)])

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {  # noqa: RUF012
            ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm",
            "": "application/octet-stream",
        }  # fmt: skip

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(exported)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        driver.get(f"http://127.0.0.1:{server.server_address[1]}/page.html")
        ended = WebDriverWait(driver, 60).until(lambda d: d.title == "done" or _faults(d))
        assert ended is True, ended
        text = driver.execute_script("return document.getElementById('text').textContent")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    checkpoint, model = read_model(str(trained))
    logits, state, written = *model.eval()(np.array([[0]])), ""
    for _ in range(200):
        k = int(logits.data[-1, 0].argmax())
        written += checkpoint.vocabulary[k]
        logits, state = model(np.array([[k]]), state)
    assert text == written


def _faults(driver: Any) -> list[str]:  # noqa: F811
    """What the page's scripts died of."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["source"] == "javascript"]


def _needed(name: str) -> bool:
    return name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
