"""HostStaging: copies between a device and any host memory, through a small pinned ring."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from ..capabilities import Capability
from ..errors import (
    ArgumentError,
    CapabilityError,
    DeviceError,
    DTypeError,
    FreedError,
    StateError,
)
from .checks import check_pair, check_stream, check_tensor
from .pieces import pairs_of_pieces
from .staged_copy import StagedCopy

if TYPE_CHECKING:
    import torch

    from ..backend import Backend
    from ..providers import Event, Stream

__all__ = ["HostStaging"]

#: A smaller piece is more calls than bytes.
SMALLEST = 4096


class HostStaging:
    """Copies tensors of any size and strides to the host and back; the caller does not wait.

        with accel.HostStaging(backend) as staging:
            copy = staging.copy_to_host_async(kv)    # in the current stream's order
            kv.zero_()                               # comes after it in that order
            host = copy.result()                     # waits

    Pageable memory is reached through ``buffers`` pinned buffers, in pieces: each buffer has a
    stream of its own, on which a piece is moved by the device and then by a host callback (or the
    other way round), so that one buffer is filled while another is emptied, and a buffer is used
    again when its last piece is through. All of it is queued by the call, which only waits where a
    driver's queue is full (CUDA's holds about a thousand calls): choose ``chunk_bytes`` so that a
    copy is some hundred pieces at most. Nothing is staged where that would be a copy for nothing:
    to and from pinned memory, and between two places in host memory, there is one copy
    (``direct``).

    Without host callbacks (``streams.callback``) the calling thread moves the host's part, and the
    calls return when the copy is done.

    Copies of one staging run one after another, in the order of the calls: give those that must not
    wait for each other's streams a staging of their own. Any thread may call.

    Args:
        backend: has streams, events and ``memcpy.copy``; pinned memory, where anything is staged.
        chunk_bytes: of each buffer, at least 4096.
        buffers: how many; two are enough to keep device and host busy.
        priority: of the streams.
        direct: False stages every copy, also where one hop would do. For tests.

    Raises:
        CapabilityError: the backend lacks one of these.
        OutOfMemoryError: the pinned pool's bound.
        ArgumentError, DTypeError: no such sizes.

    Attributes:
        nbytes: pinned memory that it holds, however large the tensors; 0 where nothing is staged
            because the device is the host.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        chunk_bytes: int = 16 << 20,
        buffers: int = 2,
        priority: int = 0,
        direct: bool = True,
    ) -> None:
        for name, value, least in (("chunk_bytes", chunk_bytes, SMALLEST), ("buffers", buffers, 1)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise DTypeError(name, "an int", repr(value))
            if value < least:
                raise ArgumentError(name, f"at least {least}", value)
        for needed in (Capability.STREAMS, Capability.EVENTS, Capability.COPY):
            if needed not in backend.capabilities:
                raise CapabilityError(str(needed), backend.name)
        self.backend = backend
        self._direct = direct
        self._callbacks = Capability.STREAM_CALLBACK in backend.capabilities
        self._has_pinned = Capability.PINNED in backend.capabilities
        staged = not direct or backend.device.type != "cpu"
        self.nbytes = chunk_bytes * buffers if staged else 0
        self._slots = [
            _Slot(backend, chunk_bytes if staged else 0, priority) for _ in range(buffers)
        ]
        self._chunk_bytes = chunk_bytes
        self._next = 0
        self._lock = threading.Lock()
        self._closed = False

    # --- copies ------------------------------------------------------------------------------

    def copy_to_host_async(
        self,
        x: torch.Tensor,
        out: torch.Tensor | None = None,
        stream: Stream | None = None,
        *,
        fence: bool = True,
    ) -> StagedCopy:
        """Copy ``x`` to host memory, as it is when ``stream`` arrives here.

        Args:
            x: on the device (or in host memory), any strides and dtype.
            out: in host memory, same shape and dtype, any strides; pageable and new by default,
                which costs the system more than the copy: give the same one again where speed
                counts. It is written until the returned copy is done.
            stream: in whose order ``x`` is read; the current one if None.
            fence: the stream goes on when ``x`` has been read, so that later work on it may write
                ``x``. With False it goes on at once, beside the copy; what writes or frees ``x``
                must come after ``copy.fence(stream)``.

        Raises:
            ShapeError, DTypeError, DeviceError, OverlapError, FreedError: no such pair of tensors.
            StateError: closed.
        """
        import torch

        source = check_tensor("x", x)
        if out is None:
            out = torch.empty(source.shape, dtype=source.dtype)
        target = check_tensor("out", out)
        if target.device.type != "cpu":
            raise DeviceError("out", "host memory", target.device)
        check_pair("out", target, "x", source, self.backend.device)
        return self._copy(out, target, source, True, stream, fence)

    def copy_to_device_async(
        self,
        src: torch.Tensor,
        out: torch.Tensor,
        stream: Stream | None = None,
        *,
        fence: bool = True,
    ) -> StagedCopy:
        """Copy ``src`` from host memory to ``out``, in ``stream``'s order.

        Args:
            src: in host memory, any strides and dtype. It is read until the returned copy is done:
                the host must not change it before.
            out: on the device (or in host memory), same shape and dtype, any strides.
            stream: in whose order ``out`` is written; the current one if None.
            fence: later work on the stream waits for the copy. With False it goes on at once;
                what reads, writes or frees ``out`` must come after ``copy.fence(stream)``.

        Raises:
            ShapeError, DTypeError, DeviceError, OverlapError, FreedError: no such pair of tensors.
            StateError: closed.
        """
        source, target = check_tensor("src", src), check_tensor("out", out)
        if source.device.type != "cpu":
            raise DeviceError("src", "host memory", source.device)
        check_pair("out", target, "src", source, self.backend.device)
        return self._copy(out, target, source, False, stream, fence)

    # --- life cycle --------------------------------------------------------------------------

    def close(self) -> None:
        """Wait for the copies under way and give the buffers back. Closing twice is nothing.

        Raises:
            AsyncError: a device's part failed that nobody has heard of yet.
        """
        with self._lock:
            self._closed = True
            slots, self._slots = self._slots, []
            self.nbytes = 0
        first: Exception | None = None
        for slot in slots:
            try:
                slot.stream.synchronize()
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def __enter__(self) -> HostStaging:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- how ---------------------------------------------------------------------------------

    def _copy(
        self,
        result: torch.Tensor,
        target: torch.Tensor,
        source: torch.Tensor,
        to_host: bool,
        stream: Stream | None,
        fence: bool,
    ) -> StagedCopy:
        check_stream("stream", stream)
        copy = StagedCopy(self.backend, result)
        stream = self.backend.streams.current() if stream is None else stream
        one_hop = self._one_hop(target, source, target if to_host else source)
        if self._closed:
            raise StateError("the staging is closed. Cure: make a new one")
        if one_hop and fence:
            self.backend.memcpy.copy_async(target, source, stream)
            self._complete(copy, stream)
            return copy
        start = stream.record_event(self.backend.events.create())
        with self._lock:
            if self._closed:
                raise StateError("the staging is closed. Cure: make a new one")
            if one_hop:
                slot = self._take_slot()
                slot.stream.wait_event(start)
                self.backend.memcpy.copy_async(target, source, slot.stream)
                self._complete(copy, slot.stream)
            else:
                self._through_the_ring(copy, target, source, to_host, start)
        if fence:  # not under the lock: a stream that is this thread waits here and now
            copy.fence(stream)
        return copy

    def _complete(self, copy: StagedCopy, stream: Stream) -> None:
        event = stream.record_event(self.backend.events.create())
        copy._device_part(event)
        copy._last_part(event)

    def _one_hop(self, target: torch.Tensor, source: torch.Tensor, host: torch.Tensor) -> bool:
        """Whether the device can reach the host's side itself."""
        if not host.numel():
            return True
        if not self._direct:
            return False
        if target.device.type == source.device.type == "cpu":
            return True
        return (self._has_pinned and self.backend.pinned.is_pinned(host)) or host.is_pinned()

    def _through_the_ring(
        self,
        copy: StagedCopy,
        target: torch.Tensor,
        source: torch.Tensor,
        to_host: bool,
        start: Event,
    ) -> None:
        pieces = pairs_of_pieces(target, source, self._chunk_bytes)
        used: list[_Slot] = []
        for i, (into, out_of) in enumerate(pieces):
            slot = self._take_slot()
            if slot not in used:
                used.append(slot)
                slot.stream.wait_event(start)
            staged = slot.view(into)
            if to_host:
                self.backend.memcpy.copy_async(staged, out_of, slot.stream)
                if i >= len(pieces) - len(self._slots):  # this slot's last
                    copy._device_part(slot.stream.record_event(self.backend.events.create()))
                self._on_host(slot.stream, _mover(copy, into, staged, into))
            else:
                self._on_host(slot.stream, _mover(copy, staged, out_of, out_of))
                self.backend.memcpy.copy_async(into, staged, slot.stream)
        for slot in used:
            if to_host:
                copy._last_part(slot.stream.record_event(self.backend.events.create()))
            else:
                self._complete(copy, slot.stream)

    def _take_slot(self) -> _Slot:
        slot = self._slots[self._next]
        self._next = (self._next + 1) % len(self._slots)
        return slot

    def _on_host(self, stream: Stream, move: Callable[[], object]) -> None:
        if self._callbacks:
            stream.add_callback(move)
        else:
            stream.synchronize()
            move()


class _Slot:
    """One buffer of the ring and the stream that alone uses it."""

    def __init__(self, backend: Backend, nbytes: int, priority: int) -> None:
        import torch

        self.stream = backend.streams.create(priority=priority)
        self._memory = backend.pinned.empty(nbytes, torch.uint8) if nbytes else None

    def view(self, piece: torch.Tensor) -> torch.Tensor:
        """The start of the buffer as a tensor like ``piece``, contiguous."""
        assert self._memory is not None
        nbytes = piece.numel() * piece.element_size()
        return self._memory[:nbytes].view(piece.dtype).view(piece.shape)


def _mover(
    copy: StagedCopy, into: torch.Tensor, out_of: torch.Tensor, theirs: torch.Tensor
) -> Callable[[], None]:
    """The host's part of one piece; its error is the copy's, not the stream's."""
    storage = theirs.untyped_storage()
    was = (storage.data_ptr(), storage.nbytes())

    def move() -> None:
        import torch

        try:
            if (storage.data_ptr(), storage.nbytes()) != was:  # torch would not notice
                raise FreedError(
                    "out" if theirs is into else "src", "memory that stays until the copy is done",
                    "a storage that was resized meanwhile",
                )  # fmt: skip
            # Whichever mode the tensors were made in, they may be written in this one.
            with torch.inference_mode():
                into.copy_(out_of)
        except BaseException as error:
            copy._failed(error)

    return move
