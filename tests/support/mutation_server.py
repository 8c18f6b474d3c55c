"""Runs the mutation command again and again, each time in a fork of this process, which has imported all it needs.

A line of JSON in, {"cwd", "env", "arguments", "out", "err"}; the exit code out.
"""

import json
import os
import sys

import hypothesis.extra.numpy  # noqa: F401
import pytest  # noqa: F401

from minigrad.testing.mutate import main


def run(job: dict) -> int:
    os.chdir(job["cwd"])
    os.environ.update(job["env"])
    sys.path[0] = job["cwd"]
    for number, path in ((1, job["out"]), (2, job["err"])):
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
    code = 1
    try:
        code = main(job["arguments"])
    except SystemExit as error:  # of argparse
        code = error.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


for line in sys.stdin:
    child = os.fork()
    if not child:
        run(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
