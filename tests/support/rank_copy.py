"""A rank that is a copy of a process which has imported NumPy and nn already: importing them is half of a short run.

mpiexec -n 2 python -IS tests/support/rank_copy.py SERVER PROGRAM ARGUMENTS

What mpiexec starts is this file, which imports next to nothing. It hands the server (`rank_copies.py`) its streams, the
sockets on which it talks to mpiexec, its environment and its arguments. The copy is the rank from then on: signals are
passed on to it, this process ends as it ends, and it is killed if this process is.
"""

import _signal
import _socket
import marshal
import os
import sys

_, server, *arguments = sys.argv
if "PMI_FD" not in os.environ:  # not MPICH's: to other kinds of mpiexec a rank is the process that they started
    os.execv(sys.executable, [sys.executable, *arguments])
numbers = [0, 1, 2, *(int(os.environ[name]) for name in ("PMI_FD", "HYDI_CONTROL_FD") if name in os.environ)]
connection = _socket.socket(_socket.AF_UNIX)
connection.connect(server)
handed = b"".join(number.to_bytes(4, sys.byteorder) for number in numbers)
asked = marshal.dumps((numbers, dict(os.environ), os.getcwd(), arguments))
connection.sendmsg([len(asked).to_bytes(8)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handed)])
connection.sendall(asked)
copy = int(connection.recv(8))
stops = _signal.SIGINT, _signal.SIGTERM
for signum in stops:
    _signal.signal(signum, lambda signum, frame: os.kill(copy, signum))
code = int(connection.recv(8))  # below 0: by which signal
for signum in stops:
    _signal.signal(signum, _signal.SIG_DFL)
if code < 0:
    os.kill(os.getpid(), -code)
os._exit(code)
