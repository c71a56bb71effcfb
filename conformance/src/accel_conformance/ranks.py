"""The ranks of level 3: started here, given programs to run, watched, and replaced when they fail.

One helper process imports torch and forks every rank (see :mod:`.rank_server`), so that a set of
ranks takes milliseconds to start. A set serves all cases of its world size; when a rank dies or
hangs, the set is killed and the next case gets a new one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest

from .listening import free_port
from .running import RunOptions

__all__ = ["RankSet", "Ranks", "ranks_fixture"]

START_SECONDS = 120.0  #: a cold import of torch on a slow disk
STACK_SECONDS = 1.0  #: for a hanging rank to write its stack
#: After one rank has failed, how long the others may take: they may wait for it.
GRACE_SECONDS = 2.0

_CAUSES = ("died", "failed", "ok", "skip", "hung")


class _Log:
    """A file that another process appends to."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115  close() does it
        self.fd = self._file.fileno()
        self._start = 0

    def mark(self) -> None:
        """Forget what is there."""
        self._start = os.fstat(self.fd).st_size

    def text(self, limit: int = 4000) -> str:
        """What was written since the mark, its end if it is long. Moves no file position."""
        end = os.fstat(self.fd).st_size
        start = max(self._start, end - limit)
        return os.pread(self.fd, end - start, start).decode(errors="replace").strip()

    def close(self) -> None:
        self._file.close()


@dataclass
class _Rank:
    """One rank as seen from here."""

    pid: int
    connection: Connection
    log: _Log


class _Server:
    """The process that forks ranks."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(p for p in sys.path if p)
        self._log = _Log()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "accel_conformance.rank_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log.fd,
                stderr=self._log.fd,
                env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS="1"),
            )
        self._socket = ours
        self._socket.settimeout(START_SECONDS)
        self._receive()

    def fork(self, request: dict[str, Any]) -> _Rank:
        """A new rank."""
        ours, theirs = socket.socketpair()
        log = _Log()
        with theirs:
            message = [json.dumps(request).encode()]
            socket.send_fds(self._socket, message, [theirs.fileno(), log.fd])
        pid = int(self._receive())
        return _Rank(pid, Connection(ours.detach()), log)

    def _receive(self) -> str:
        try:
            data = self._socket.recv(4096)
        except TimeoutError:
            data = b""
        if not data:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the process that starts ranks failed:\n{self._log.text()}")
        return data.decode()

    def close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@functools.cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


class RankSet:
    """``size`` ranks of one world.

    Args:
        world: ``torchrun`` (its environment variables), ``adopted`` (torch.distributed is
            initialised before accel is asked), or ``none``.
    """

    def __init__(self, options: RunOptions, size: int, world: str = "torchrun") -> None:
        self.size = size
        request: dict[str, Any] = {
            "backend": options.backend,
            "device": options.device,
            "size": size,
            "world": world,
            "port": free_port(),
        }
        self._ranks = [_server().fork({**request, "rank": rank}) for rank in range(size)]

    def run(
        self,
        program: str,
        arguments: dict[str, Any],
        seed: int,
        seconds: float,
        leaving: Sequence[int] = (),
    ) -> bool:
        """Run a program on every rank.

        Args:
            seconds: after which a rank that has not answered is taken to hang.
            leaving: ranks that the program ends; they must, and the others must not.

        Returns:
            Whether the set can be used again.

        Raises:
            AssertionError: with what each rank that failed, died or hung has to say.
            pytest.skip.Exception: every rank asks for it.
        """
        for r in self._ranks:
            r.log.mark()
            with contextlib.suppress(OSError):  # it is found to be dead below
                r.connection.send((program, arguments, seed))
        answers = self._collect(seconds)
        problems, skips, alive = [], [], True
        for rank, (kind, text) in enumerate(answers):
            alive &= kind in ("ok", "skip", "failed")
            if kind == "skip":
                skips.append(text)
            elif kind == "died" and rank in leaving:
                continue
            elif kind != "ok" or rank in leaving:
                verb = "lived on" if kind == "ok" else kind
                what = f"rank {rank} of {self.size} {verb}: {text}".rstrip(": ")
                # What failed is the cause; who hangs may only be waiting for it.
                problems.append((_CAUSES.index(kind), what))
        if problems:
            raise AssertionError("\n".join(text for _, text in sorted(problems)))
        if skips:
            pytest.skip(skips[0])
        return alive

    def _collect(self, seconds: float) -> list[tuple[str, str]]:
        answers: dict[int, tuple[str, str]] = {}
        end = time.monotonic() + seconds
        while len(answers) < self.size:
            pending = {r.connection: i for i, r in enumerate(self._ranks) if i not in answers}
            ready = wait(list(pending), max(0.0, end - time.monotonic()))
            if not ready:
                break
            for connection in ready:
                rank = pending[connection]  # type: ignore[index]
                try:
                    answers[rank] = self._ranks[rank].connection.recv()
                except (EOFError, OSError):
                    answers[rank] = ("died", self._ranks[rank].log.text())
                if answers[rank][0] == "failed":
                    end = min(end, time.monotonic() + GRACE_SECONDS)
        for rank in set(range(self.size)) - set(answers):
            answers[rank] = ("hung", self._stack(self._ranks[rank]))
        return [answers[rank] for rank in range(self.size)]

    def _stack(self, rank: _Rank) -> str:
        """Have a hanging rank write the stacks of all its threads."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(rank.pid, signal.SIGUSR1)
        end = time.monotonic() + STACK_SECONDS
        while "most recent call first" not in rank.log.text() and time.monotonic() < end:
            time.sleep(0.02)
        return rank.log.text()

    def close(self, *, kill: bool = False) -> None:
        """End the ranks: ask them to, and kill those that do not."""
        for r in self._ranks:
            if not kill:
                with contextlib.suppress(OSError):
                    r.connection.send(None)
        for r in self._ranks:
            if kill or not self._ended(r, 5.0):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(r.pid, signal.SIGKILL)
                self._ended(r, 5.0)
            r.connection.close()
            r.log.close()

    @staticmethod
    def _ended(rank: _Rank, seconds: float) -> bool:
        """Whether the rank closes its end in time."""
        end = time.monotonic() + seconds
        while rank.connection.poll(max(0.0, end - time.monotonic())):
            try:
                rank.connection.recv()
            except (EOFError, OSError):
                return True
        return False


_sets: dict[tuple[RunOptions, int, str], RankSet] = {}


@atexit.register
def _close_all() -> None:
    while _sets:
        _sets.popitem()[1].close()


class Ranks:
    """The ``ranks`` fixture: ``ranks.run(4, "all_reduce", dtype="float16")``."""

    def __init__(self, options: RunOptions, seed: int) -> None:
        self._options = options
        self._seed = seed

    def run(
        self,
        size: int,
        program: str,
        *,
        world: str = "torchrun",
        seconds: float = 30.0,
        leaving: Sequence[int] = (),
        **arguments: Any,
    ) -> None:
        """Run a program of :mod:`.rank_programs` on ``size`` ranks; see :class:`RankSet`."""
        limit = seconds * self._options.patience
        with self._set(size, world) as ranks:
            if not ranks.run(program, arguments, self._seed, limit, leaving):
                raise _SpentError

    @contextlib.contextmanager
    def _set(self, size: int, world: str) -> Iterator[RankSet]:
        key = (self._options, size, world)
        if key not in _sets:
            _sets[key] = RankSet(self._options, size, world)
        try:
            yield _sets[key]
        except _SpentError:
            _sets.pop(key).close(kill=True)
        except AssertionError:
            # Whatever state the ranks are in, the next case shall not start from it.
            _sets.pop(key).close(kill=True)
            raise


class _SpentError(Exception):
    """The case passed and has used up its ranks."""


_CLEANED = pytest.StashKey[bool]()


@pytest.fixture
def ranks_fixture(request: pytest.FixtureRequest, run: RunOptions, seed: int) -> Ranks:
    """Programs on several ranks; a case module says ``ranks = ranks_fixture``."""
    if not request.config.stash.get(_CLEANED, False):
        request.config.stash[_CLEANED] = True
        request.config.add_cleanup(_close_all)
    return Ranks(run, seed)
