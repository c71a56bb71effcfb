"""Life cycle: closing, further processes, the end of a process."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

import pytest
import torch

import accel
from accel import Backend, Capability
from accel_conformance.case import case
from accel_conformance.children import Child

COPIES = [Capability.STREAMS, Capability.COPY]


@case(level=0, needs=COPIES, seconds=120)
def test_close_and_again(backend: Backend) -> None:
    """close may be called twice; the next get_backend builds anew, and works."""
    with Child("life-cycle", backend, "-") as child:
        for _ in range(2):
            assert child.read() == "True", "a copy went wrong"
            assert child.read() == "True", "get_backend gave the closed backend"
        child.finish()


@case(level=0, needs=COPIES, seconds=120)
def test_exit_with_work(backend: Backend) -> None:
    """A process that ends while streams have work ends cleanly."""
    with Child("exit-with-work", backend, "-") as child:
        assert child.read() == "queued"
        child.finish()


def _work_elsewhere(name: str, device: str, channel: Connection) -> None:
    try:
        torch.set_num_threads(1)  # torch's own thread pool does not survive a fork
        backend = accel.get_backend(name, device)
        source = torch.arange(2 << 20, dtype=torch.int32, device=backend.device)
        target = torch.zeros_like(source)
        stream = backend.streams.create()
        stream.wait_stream(backend.streams.default())
        backend.memcpy.copy_async(target, source, stream)
        stream.synchronize()
        channel.send("right" if torch.equal(target, source) else "wrong bytes")
    except BaseException as error:
        channel.send(f"{type(error).__name__}: {error}")
        raise


def _run_in(method: str, backend: Backend) -> str:
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(  # type: ignore[attr-defined]
        target=_work_elsewhere, args=(backend.name, str(backend.device), theirs)
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(60):
            return "no answer within 60 s"
        answer = str(ours.recv())
        process.join(20)
        return answer if process.exitcode == 0 else f"{answer}, then exit code {process.exitcode}"
    except EOFError:
        process.join(5)
        return f"ended with {process.exitcode} without an answer"
    finally:
        if process.is_alive():
            process.kill()
            process.join()


@case(level=0, needs=COPIES, seconds=180)
def test_spawned(backend: Backend) -> None:
    """A spawned process can use the backend while this one does."""
    assert _run_in("spawn", backend) == "right"


@case(level=0, needs=COPIES, seconds=180)
def test_forked(backend: Backend) -> None:
    """A process forked after the backend was used can use it too (CPU devices only)."""
    if backend.device.type != "cpu":
        pytest.skip("accelerator runtimes do not survive a fork")
    stream = backend.streams.create()
    backend.memcpy.copy_async(torch.empty(1000), torch.zeros(1000), stream)
    stream.synchronize()
    assert _run_in("fork", backend) == "right"
