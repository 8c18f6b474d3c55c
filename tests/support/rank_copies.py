"""A server of ranks: each is a copy of this process, which imports NumPy and nn once (`rank_copy.py` says how).

python tests/support/rank_copies.py SOCKET

It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import nn.distributed


def asked(connection: socket.socket) -> tuple[dict[int, int], dict[str, str], str, list[str]]:
    """What a process hands over: files by their numbers there, environment, folder, arguments."""
    size, files, *_ = socket.recv_fds(connection, 8, 8)
    with connection.makefile("rb") as rest:
        numbers, environment, folder, arguments = marshal.loads(rest.read(int.from_bytes(size)))
    return dict(zip(numbers, files, strict=True)), environment, folder, arguments


def become(files: dict[int, int], environment: dict[str, str], folder: str, arguments: list[str]) -> None:
    """In a copy: be the process that asked for it."""
    high = {number: fcntl.fcntl(file, fcntl.F_DUPFD, 200) for number, file in files.items()}
    os.closerange(3, 200)
    for number, file in high.items():
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = arguments
    signal.signal(signal.SIGINT, signal.default_int_handler)


def serve(listener: socket.socket) -> bool:
    """Make copies, and tell how they end. Returns True in a copy, False once nobody asks any more."""
    copies: dict[int, tuple[int, Any]] = {}  # process and connection, by a file that can be read when it has ended
    while True:
        asking = {connection: pid for pid, connection in copies.values()}
        ready, _, _ = select.select([0, listener, *copies, *asking], [], [])
        if 0 in ready:
            return False
        for file in [file for file in copies if file in ready]:
            pid, connection = copies.pop(file)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            del asking[connection]
            os.close(file)
            with connection, contextlib.suppress(BrokenPipeError):
                connection.sendall(b"%8d" % code)
        for connection, pid in asking.items():
            if connection in ready:  # who asked was killed
                os.kill(pid, signal.SIGKILL)
        if listener in ready:
            connection, _ = listener.accept()
            given = asked(connection)
            if not (pid := os.fork()):
                for other in (listener, connection, *asking):
                    other.detach()
                become(*given)
                return True
            for file in given[0].values():
                os.close(file)
            connection.sendall(b"%8d" % pid)
            copies[os.pidfd_open(pid)] = pid, connection


if __name__ == "__main__":
    nn.distributed  # noqa: B018 - is imported when it is asked for
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        print("ready", flush=True)
        is_copy = serve(listener)
    if is_copy:
        if sys.argv[0] == "-c":
            program = sys.argv.pop(1)
        else:
            program = Path(sys.argv[0]).read_text(encoding="utf-8")
        exec(compile(program, sys.argv[0], "exec"), {"__name__": "__main__"})
