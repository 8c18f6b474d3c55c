"""Record what other tools compute, each in an environment of its own, into tests/support/recorded.

    python tests/support/interop/record.py                    every tool
    python tests/support/interop/record.py keras --envs DIR   one, with its environment kept in (or taken from) DIR

The versions are pinned. Chainer and MXNet run on Python 3.8, which has to be there as `python3.8` or in ~/.pyenv.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE.parent / "recorded"
OLD_NUMPY = "numpy<1.24"  # which still has np.bool and np.int
#: By tool: Python, packages, what is installed first.
TOOLS = {
    "jax": ("3.11", ["jax==0.10.2", "flax==0.12.8", "equinox==0.13.8", "dm-haiku==0.0.17"]),
    "torch": ("3.11", ["torch==2.13.0", "numpy"]),
    "keras": ("3.11", ["torch==2.13.0", "keras==3.15.1", "h5py==3.16.0"]),
    "paddle": ("3.11", ["paddlepaddle==3.3.1"]),
    "tinygrad": ("3.11", ["tinygrad==0.14.0", "numpy"]),
    "chainer": ("3.8", [OLD_NUMPY, "chainer==7.8.1"]),
    "mxnet": ("3.8", [OLD_NUMPY, "mxnet==1.9.1"]),
}


def python(version: str) -> str:
    """An interpreter of this version, or of a newer one if it need not be old."""
    if version != "3.8":
        return sys.executable
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for found in (*map(str, kept[::-1]), shutil.which(f"python{version}")):
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:  # a shim may be empty
            return found
    raise SystemExit(f"there is no Python {version} here")


def record(tool: str, envs: Path) -> None:
    """Install a tool, unless that was done, and run its script."""
    version, packages = TOOLS[tool]
    env = envs / tool
    if not env.exists():
        subprocess.run([python(version), "-m", "venv", env], check=True)
        for package in packages:  # one after the other: torch's own build is there before what asks for any
            subprocess.run([env / "bin" / "pip", "install", "-q", package], check=True)
    script, target = HERE / f"with_{tool}.py", RECORDED / f"interop_{tool}.npz"
    subprocess.run([env / "bin" / "python", "-W", "ignore", script, target], check=True, cwd=HERE)
    print(f"{tool}: {target.stat().st_size:,} bytes in {target.name}")


def main() -> None:
    """Run the command."""
    cli = argparse.ArgumentParser(description="record what other tools compute")
    cli.add_argument("tools", nargs="*", help=f"of {', '.join(TOOLS)}; all by default")
    cli.add_argument("--envs", type=Path, help="where the tools' environments are kept; else they are removed")
    options = cli.parse_args()
    unknown = sorted(set(options.tools) - set(TOOLS))
    if unknown:
        cli.error(f"no such tool: {', '.join(unknown)}; there are {', '.join(TOOLS)}")
    with tempfile.TemporaryDirectory() as folder:
        for tool in options.tools or TOOLS:
            record(tool, options.envs or Path(folder))


if __name__ == "__main__":
    main()
