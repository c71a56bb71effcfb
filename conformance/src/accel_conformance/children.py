"""Second processes, for what two processes share: started here, and their side of the talk.

``python -m accel_conformance.children ACTION BACKEND DEVICE ARGUMENT`` writes lines that the case
reads, and reads lines that the case writes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

import accel
from accel import Backend

__all__ = ["Child"]

#: For machines so busy that importing a vendor's stack takes a minute.
LIMIT_SECONDS = 180.0
_MODULE = "accel_conformance.children"


class Child:
    """A process that runs one action. Killed if it outlives its ``with`` block."""

    def __init__(self, action: str, backend: Backend, argument: str) -> None:
        device = str(backend.device)
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, action, backend.name, device, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        # A child that never answers must not hold the suite.
        self._timer = threading.Timer(LIMIT_SECONDS, self._process.kill)
        self._timer.start()

    def read(self) -> str:
        """The child's next line.

        Raises:
            AssertionError: it ended instead; with what it wrote to stderr.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return line.strip()
        assert self._process.stderr is not None
        raise AssertionError(f"the second process ended:\n{self._process.stderr.read().strip()}")

    def write(self, line: str) -> None:
        """Send the child a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def finish(self) -> None:
        """Wait for a clean end."""
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._process.stdin.close()
        code = self._process.wait()
        if code != 0:
            said = self._process.stderr.read().strip()
            late = f" (none may take {LIMIT_SECONDS:g} s)" if not self._timer.is_alive() else ""
            raise AssertionError(f"the second process ended with {code}{late}:\n{said}")

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def _say(word: object) -> None:
    print(word, flush=True)


def _hear() -> str:
    return sys.stdin.readline().strip()


def _watch_event(backend: Backend, argument: str) -> None:
    """Say whether the event has completed, then wait for it on a stream and on the host."""
    event = backend.events.from_ipc_handle(bytes.fromhex(argument))
    _say(event.query())
    stream = backend.streams.create()
    stream.wait_event(event)
    time.sleep(0.02)
    _say(stream.query())
    stream.synchronize()
    event.synchronize()
    _say(event.query())


def _make_event(backend: Backend, argument: str) -> None:
    """Hand out an event and end."""
    event = backend.events.create(interprocess=True)
    event.record(backend.streams.create())
    event.synchronize()
    _say(event.ipc_handle().hex())


def _use_segment(backend: Backend, argument: str) -> None:
    """Open a shared segment, say what is in it, change it, and look again after the owner left."""
    buffer = backend.pinned.open_shared(argument)
    tensor = buffer.tensor()
    _say(buffer.nbytes)
    _say(bytes(tensor[:64].tolist()).hex())
    tensor[-64:] = 0xC3
    _say("changed")
    _hear()  # the creator has freed its side
    _say(bytes(tensor[:64].tolist()).hex())
    del tensor
    buffer.free()
    _say("freed")


def _life_cycle(backend: Backend, argument: str) -> None:
    """Do some work, close the backend, ask for it anew, and do it again."""
    import torch

    for _ in range(2):
        source = torch.arange(1000, dtype=torch.int64, device=backend.device)
        target = torch.zeros_like(source)
        stream = backend.streams.create()
        stream.wait_stream(backend.streams.default())
        backend.memcpy.copy_async(target, source, stream)
        stream.synchronize()
        _say(torch.equal(target, source))
        del stream
        backend.close()
        backend.close()
        fresh = accel.get_backend(backend.name, backend.device)
        _say(fresh is not backend)
        backend = fresh


def _exit_with_work(backend: Backend, argument: str) -> None:
    """End while a stream still has work: the process must end all the same, and cleanly."""
    import torch

    source = torch.zeros(64 << 20, dtype=torch.uint8, device=backend.device)
    streams = [backend.streams.create() for _ in range(3)]
    targets = [torch.empty_like(source) for _ in streams]
    for stream, target in zip(streams, targets, strict=True):
        for _ in range(4):
            backend.memcpy.copy_async(target, source, stream)
    _say("queued")


_ACTIONS: dict[str, Callable[[Backend, str], None]] = {
    "watch-event": _watch_event,
    "make-event": _make_event,
    "use-segment": _use_segment,
    "life-cycle": _life_cycle,
    "exit-with-work": _exit_with_work,
}


def _main() -> None:
    action, name, device, argument = sys.argv[1:5]
    _ACTIONS[action](accel.get_backend(name, device), argument)


if __name__ == "__main__":
    _main()
