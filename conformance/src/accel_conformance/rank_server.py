"""The process that forks ranks, and what a rank does.

``python -m accel_conformance.rank_server FD``, started by :mod:`.ranks`. It imports torch once and
then does nothing but fork: it has one thread, and touches no device.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import socket
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main(fd: int) -> None:
    """Fork a rank for every request, until the other side closes the socket."""
    import torch  # noqa: F401  what takes long, so that no rank has to

    from . import rank_programs  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for ranks
    with socket.socket(fileno=fd) as requests:
        requests.sendall(b"ready")
        while True:
            data, fds, _, _ = socket.recv_fds(requests, 65536, 2)
            if not data:
                return
            pid = os.fork()
            if pid == 0:
                requests.close()
                _be_a_rank(json.loads(data), *fds)
            for descriptor in fds:
                os.close(descriptor)
            requests.sendall(str(pid).encode())


def _be_a_rank(request: dict[str, Any], connection_fd: int, log_fd: int) -> None:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if sys.platform == "linux":
            # Not even a rank that hangs in native code may outlive the suite.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        faulthandler.enable(2)
        faulthandler.register(signal.SIGUSR1, 2)
        _serve(request, Connection(connection_fd))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve(request: dict[str, Any], connection: Connection) -> None:
    """Run the programs that come, until the connection is closed."""
    from .rank_programs import PROGRAMS, Context, SkipProgram

    context = Context(request)
    while True:
        try:
            order = connection.recv()
        except EOFError:
            return
        if order is None:
            context.close()
            return
        name, arguments, seed = order
        try:
            context.begin(seed)
            PROGRAMS[name](context, **arguments)
            context.end()
            answer = ("ok", "")
        except SkipProgram as skip:
            answer = ("skip", str(skip))
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            answer = ("failed", f"{what}\n{traceback.format_exc()[-4000:]}")
        connection.send(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
