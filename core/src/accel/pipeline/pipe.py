"""LayerPipeline: prefetch layers from the host while the device computes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..capabilities import Capability
from ..errors import ArgumentError, CapabilityError, StateError
from .lanes import Lanes
from .marks import Marks
from .passes import Pass, SynchronousPass
from .report import PipelineReport, build_report
from .sources import check_write_back, host_layers, pageable_layers

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from ..backend import Backend
    from ..providers import Stream

    LayerTensors: TypeAlias = torch.Tensor | Sequence[torch.Tensor] | Mapping[Any, torch.Tensor]

__all__ = ["LayerPipeline"]

_NEEDS = (Capability.STREAMS, Capability.EVENTS, Capability.COPY)


class LayerPipeline:
    """Layers' weights or KV live in host memory and are on the device when their turn comes.

    ::

        with LayerPipeline(backend, layers, ahead=2) as pipe:
            for layer in pipe:
                run(layer.tensors)

    While the compute stream works on one layer, a copy stream of the pipe's own brings the next
    ``ahead`` ones into a ring of device buffers, which is allocated once. Order is kept by events
    alone: the loop returns to the caller as soon as the work is queued, and no call waits for the
    device. (Two things are not the pipe's doing: copying from pageable memory may block the host on
    a real device, so give it layers from ``backend.pinned.empty``; and on a backend whose default
    stream runs in line, as the CPU's, a wait on that stream is a wait of the calling thread.)

    A slot is free for the next copy when the compute stream has passed the point at which the loop
    asks for the next layer, or at which :meth:`Layer.release` was called. Each pass copies every
    layer anew, in the compute stream's order: the copies come after what that stream was given
    before the loop (but for :meth:`prefetch`), and what it is given after the loop comes after
    them. Once it is synchronised the host may change its tensors.

    A loop left early (``break``, an exception) needs no care: the next loop over the pipe, or
    leaving the ``with`` block, orders what is still queued. Until then the layer stays valid.
    Used by one thread at a time, and not with autograd, which would keep tensors of the ring.

    Args:
        backend: any backend with streams, events and copies.
        layers: an entry for each layer: a host tensor, or a list, tuple or dict of them. Shapes and
            dtypes may differ from layer to layer. Tensors of any strides are copied, contiguous
            ones fastest; on the device all are contiguous.
        ahead: layers that are prefetched while one is worked on. The ring has one slot more, and
            another one with ``write_back``, but not more slots than there are layers.
        stream: the compute stream; the one that is current when a loop starts if None.
        priority: of the copy streams; lower goes first, see ``Streams.create``.
        write_back: each layer is copied back to its host tensors when the loop is done with it. A
            layer that was left by ``break`` or an exception is not, unless it was released. The
            host tensors must not share memory.
        synchronous: copy, synchronise, compute, synchronise instead, for comparison and debugging.
        timing: record timing events for :meth:`report`; without the capability ``events.timing``
            none are, and the report says so.

    Raises:
        ArgumentError: no layers, a layer without tensors, or ``ahead`` below 1.
        DTypeError: ``layers`` is no list, or holds something else than strided tensors.
        DeviceError: a tensor that is not in host memory.
        OverlapError: with ``write_back``, host tensors that share memory.
        CapabilityError: the backend lacks streams, events or copies.
    """

    def __init__(
        self,
        backend: Backend,
        layers: Sequence[LayerTensors],
        ahead: int = 2,
        *,
        stream: Stream | None = None,
        priority: int = -1,
        write_back: bool = False,
        synchronous: bool = False,
        timing: bool = True,
    ) -> None:
        self._pass: Pass | None = None
        self._ended: Pass | None = None
        self._closed = True  # until there is something to close
        if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 1:
            raise ArgumentError("ahead", "a number of layers, at least 1", repr(ahead))
        checked = host_layers(layers)
        if write_back:
            check_write_back(checked)
        for need in _NEEDS:
            if need not in backend.capabilities:
                raise CapabilityError(need, backend.name)
        self.ahead = ahead
        self.synchronous = synchronous
        self.timing = timing and Capability.EVENT_TIMING in backend.capabilities
        self._backend = backend
        self._stream = stream
        self._notes = _notes(backend, timing, len(checked), pageable_layers(backend, checked))
        slots = min(ahead + 1 + write_back, len(checked))
        # Who owns the ring's memory: what this stream does after the end comes after our work.
        self._home = backend.streams.current()
        self._lanes = Lanes(backend, checked, slots, priority, write_back, self._home)
        self._spare_marks: list[Marks] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._lanes.layers)

    @property
    def copy_stream(self) -> Stream:
        """The stream of the copies to the device."""
        return self._lanes.copy

    @property
    def device_bytes(self) -> int:
        """Bytes of the ring: slots times the largest layer; 0 once closed."""
        return 0 if self._closed else self._lanes.ring.nbytes

    def __enter__(self) -> LayerPipeline:
        self._check_open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Pass:
        """Begin a pass on the compute stream; one that is still under way ends here.

        Raises:
            StateError: the pipe is closed.
        """
        self._check_open()
        compute = self._stream if self._stream is not None else self._backend.streams.current()
        if self._pass is None or self._pass.begun:
            self._pass = self._new_pass()
        self._pass.begin(compute)
        return self._pass

    def prefetch(self) -> None:
        """Queue the first copies of the next pass now, so that the work in between hides them.

        For after a loop, when the host's tensors hold what the next pass is to read, or will by the
        pipe's own write-back: these copies wait for nothing else. A pass that is still under way
        ends here. A second call before the next loop does nothing.

        Raises:
            StateError: the pipe is closed, or synchronous.
        """
        self._check_open()
        if self.synchronous:
            raise StateError("a synchronous pipe prefetches nothing. Cure: synchronous=False")
        if self._pass is None or self._pass.begun:
            self._pass = self._new_pass()
        self._pass.prefetch()

    def report(self) -> PipelineReport:
        """The times of the last pass that has ended; waits for its work.

        Raises:
            StateError: no pass has ended yet.
            AsyncError: work of the compute stream failed (as its synchronisation raises it).
        """
        last = self._pass
        ended = last if last is not None and last.over and last.begun else self._ended
        if ended is None:
            raise StateError(
                "there is nothing to report: no pass over the pipe has ended. Cure: ask after the "
                "loop, or after the `with` block when the loop was left early"
            )
        return build_report(
            ended, [layer.nbytes for layer in self._lanes.layers], self.synchronous, self._notes
        )

    def close(self) -> None:
        """End a pass that is under way and give the ring's memory back. Closing twice is nothing.

        Does not wait on the host: the stream that was current when the pipe was made waits, so its
        later allocations can have the memory. Leaving the ``with`` block closes.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._pass is not None:
                self._pass.finish()
            self._lanes.join(self._home)
            for event in self._lanes.free_events():
                self._home.wait_event(event)
        finally:
            self._lanes.ring.drop()

    def _check_open(self) -> None:
        if self._closed:
            raise StateError("the pipe is closed. Cure: make another LayerPipeline")

    def _new_pass(self) -> Pass:
        """After the one under way; its times stay for a report until this one has ended."""
        if self._pass is not None:
            self._pass.finish()
            if self._ended is not None:
                self._spare_marks.append(self._ended.marks)
            self._ended = self._pass
        lanes = self._lanes
        if self._spare_marks:
            marks = self._spare_marks.pop()
        else:
            marks = Marks(self._backend, len(self), lanes.back is not None, self.timing)
        return (SynchronousPass if self.synchronous else Pass)(lanes, marks, self.ahead)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(
                f"{self!r} was not closed: use it in a `with` block", ResourceWarning, stacklevel=2
            )
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.device_bytes} bytes on {self._home.device}"
        return f"<accel LayerPipeline of {len(self)} layers, {self.ahead} ahead, {state}>"


def _notes(backend: Backend, timing: bool, layers: int, pageable: int) -> tuple[str, ...]:
    notes = []
    if not timing:
        notes.append("made with timing=False: no device times")
    elif Capability.EVENT_TIMING not in backend.capabilities:
        notes.append(
            f"backend {backend.name!r} does not support {Capability.EVENT_TIMING}: no device times"
        )
    if pageable:
        notes.append(
            f"{pageable} of {layers} layers are in pageable memory, whose copies may block the host"
            " (backend.pinned.empty gives page-locked memory)"
        )
    return tuple(notes)
