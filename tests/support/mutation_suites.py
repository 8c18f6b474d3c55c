"""Suites of a few tests for the mutation command, and a server that runs the command, or pytest.

The server imports once all that these need, and each run is a fork of it, which takes a hundredth of the time of a
start. A line of JSON in, {"module", "cwd", "env", "arguments", "out", "err"}; the exit code out.
"""

import atexit
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path


@functools.cache
def _server() -> "subprocess.Popen[str]":
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    server = subprocess.Popen(
        [sys.executable, __file__], env=os.environ | {"PYTHONPATH": path}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    atexit.register(server.communicate)
    return server


def ask(job: str) -> str:
    """The exit code of the command that `job` describes."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    print(job, file=server.stdin, flush=True)
    return server.stdout.readline()


def python_m(module: str, *arguments: str, cwd: Path, scratch: Path, **env: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `python -m module arguments`, which have files of their own in `scratch`."""
    out, err = scratch / "out", scratch / "err"
    job = {"module": module, "cwd": str(cwd), "env": {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | env}
    code = ask(json.dumps(job | {"arguments": arguments, "out": str(out), "err": str(err)}))
    return int(code), out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")


OWN = """
    import numpy as np
    import minigrad as mg
    import nn

    cube = mg.primitive(lambda x: x**3, lambda g, y, x: g * (3 * x * x), name="cube")
    double = mg.primitive(lambda x: 2 * x, lambda g, y, x: g * 2, name="double")
    unused = mg.primitive(np.exp, lambda g, y, x: g * y, name="unused")

    class Cell(nn.Cell):
        H = 2

        def __init__(self, I, H):
            self.U = nn.parameter(np.ones((I, H)))
            self.W = nn.parameter(np.ones((H, H)))

        def step(self, x, state):
            h = mg.tanh(x @ self.U + state @ self.W)
            return h, h
"""


class Suite:
    """A suite in a directory of its own, and a directory for temporary files."""

    def __init__(self, path: Path, *tests: str) -> None:
        self.path, self.scratch = path / "suite", path / "scratch"
        self.path.mkdir()
        self.scratch.mkdir()
        for name, text in [("own", OWN), *((f"test_{k}", text) for k, text in enumerate(tests))]:
            (self.path / f"{name}.py").write_text(textwrap.dedent(text))

        root = str(Path(__file__).parents[2])
        own = {"TMPDIR": str(self.scratch), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""}
        self.environment = {"PYTHONPATH": root, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | own  # none of which they need

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "minigrad.testing.mutate", *arguments],
            cwd=self.path, env=os.environ | self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # pytest-xdist's workers ignore it
        )  # fmt: skip

    def mutate(self, *arguments: str) -> tuple[int, str, str]:
        module = "minigrad.testing.mutate"
        return python_m(module, *arguments, cwd=self.path, scratch=self.path.parent, **self.environment)


def run(job: dict) -> None:
    main = importlib.import_module(job["module"]).main
    os.chdir(job["cwd"])
    os.environ.update(job["env"])
    sys.dont_write_bytecode, tempfile.tempdir = True, None  # which were read from the environment before
    sys.path[0] = job["cwd"]
    for number, path in ((1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    code = 1
    try:
        code = main(job["arguments"])
    except SystemExit as error:  # of argparse
        code = error.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    import _pytest.config
    import hypothesis.extra.numpy  # noqa: F401
    import pytest  # noqa: F401
    from freezing import freeze

    import minigrad.testing.mutate  # noqa: F401
    import nn  # noqa: F401

    for plugin in _pytest.config.default_plugins:  # which pytest would import in each fork
        importlib.import_module(f"_pytest.{plugin}")
    freeze()  # each pytest that ends collects garbage, which took half of its time with all that was imported
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
