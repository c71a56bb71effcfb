"""The side-stream pattern: uploads beside the computation, with both fences."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..capabilities import Capability
from ..errors import DTypeError
from .checks import check_stream

if TYPE_CHECKING:
    import torch

    from ..backend import Backend
    from ..providers import Event, Stream

__all__ = ["copy_stream"]


def copy_stream(
    backend: Backend,
    *tensors: torch.Tensor,
    stream: Stream | None = None,
    compute: Stream | None = None,
    after: Event | None = None,
    make_current: bool = False,
) -> AbstractContextManager[Stream]:
    """Copies on a stream of their own, ordered with the computation on both sides.

        with accel.copy_stream(backend, table, lengths) as copies:
            backend.kv.upload_small(table, host_table, stream=copies)
            backend.kv.upload_small(lengths, host_lengths, stream=copies)
        attention(table, lengths)       # on the compute stream, which waits for the copies

    On entry the copy stream waits until the compute stream is done with what it was given so far,
    so that nothing is written that is still being read. On exit the compute stream waits for the
    copies, also when the body raised: both streams are then in order and usable. Both fences are
    events. The host waits for neither, but where the calling thread itself stands in for the
    compute stream, as it does for a CPU's default stream and for one that it has entered.

    Only work that is given to the copy stream runs beside the computation: hand it to every call.
    What is left on the current stream is in order all the same. Blocks may be nested, with the same
    copy stream or another.

    Args:
        backend: has streams and events.
        tensors: what the copies read and write. They are kept alive until the copies are done, and
            torch's caching allocators are told (``Tensor.record_stream``), so they may be dropped
            or freed within the block and after it. Operands of accel's own calls are kept anyway;
            name those that raw pointers or torch operators use.
        stream: where the copies go; by default a stream that the calling thread keeps for this.
        compute: the stream that computes; the current one by default.
        after: a finer first fence: the copies wait for this event only, recorded on the compute
            stream when it was last done with what they write (double-buffered metadata). An event
            that was never recorded is no fence.
        make_current: make the copy stream current within the block, for torch operators. On a CPU,
            where the calling thread stands in for the stream that is current, the host then waits
            at the entry and makes the copies itself.

    Raises:
        CapabilityError: no streams or no events.
        DTypeError: an argument that is no tensor, stream or event of the backend.
    """
    import torch

    for i, tensor in enumerate(tensors):
        if not isinstance(tensor, torch.Tensor):
            raise DTypeError(f"tensors[{i}]", "a tensor", type(tensor).__name__)
    check_stream("stream", stream)
    check_stream("compute", compute)
    return _fenced(backend, tensors, stream, compute, after, make_current)


@contextmanager
def _fenced(
    backend: Backend,
    tensors: tuple[torch.Tensor, ...],
    stream: Stream | None,
    compute: Stream | None,
    after: Event | None,
    make_current: bool,
) -> Iterator[Stream]:
    mine = _of(backend)
    copies = mine.stream(backend) if stream is None else stream
    compute = backend.streams.current() if compute is None else compute
    mine.let_go()
    if after is not None:
        copies.wait_event(after)
    elif not _same(copies, compute):
        copies.wait_event(compute.record_event(backend.events.create()))
    done = backend.events.create()
    try:
        if make_current:
            with backend.stream(copies):
                yield copies
        else:
            yield copies
    finally:
        copies.record_event(done)
        if not _same(copies, compute):
            compute.wait_event(done)
        if tensors:
            mine.keep(done, tensors)
            _tell_torch(backend, tensors, copies, compute)
            mine.let_go()


def _same(a: Stream, b: Stream) -> bool:
    return a is b or a.handle == b.handle


def _tell_torch(backend: Backend, tensors: tuple[torch.Tensor, ...], *streams: Stream) -> None:
    """Keep torch from reusing the memory of dropped tensors before these streams are done."""
    if Capability.STREAM_TORCH not in backend.capabilities:
        return  # no stream objects to tell about: the tensors themselves are kept
    theirs = [stream.as_torch() for stream in streams]
    for tensor in tensors:
        if tensor.device.type != "cpu":
            for stream in theirs:
                tensor.record_stream(stream)


class _CopyStreams:
    """What one backend's copy streams have in common."""

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._kept: list[tuple[Event, tuple[torch.Tensor, ...]]] = []

    def stream(self, backend: Backend) -> Stream:
        """The calling thread's own, so that threads do not wait for one another's computation."""
        found: Stream | None = getattr(self._of_thread, "stream", None)
        if found is None:
            found = self._of_thread.stream = backend.streams.create()
        return found

    def keep(self, done: Event, tensors: tuple[torch.Tensor, ...]) -> None:
        with self._lock:
            self._kept.append((done, tensors))

    def let_go(self) -> None:
        """Drop what is done; by polling, since a callback must not free device memory."""
        if not self._kept:
            return
        with self._lock:
            kept, self._kept = self._kept, []
            over: list[tuple[Event, tuple[torch.Tensor, ...]]] = []
            for entry in kept:
                (over if entry[0].query() else self._kept).append(entry)
        over.clear()  # finalizers run here, without the lock


_all: WeakKeyDictionary[Backend, _CopyStreams] = WeakKeyDictionary()
_lock = threading.Lock()


def _of(backend: Backend) -> _CopyStreams:
    with _lock:
        found = _all.get(backend)
        if found is None:
            found = _all[backend] = _CopyStreams()
        return found
