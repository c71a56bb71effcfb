"""Where composed kernels run: a stream's order, uploads, host parts, and what is kept alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ..capabilities import Capability
from ..errors import DTypeError

if TYPE_CHECKING:
    import torch

    from ..backend import Backend
    from ..providers import Stream

__all__ = ["DeviceQueue", "HostQueue", "Queue", "queue_of"]


def queue_of(backend: Backend) -> Queue:
    """The queue of a backend's device."""
    if backend.device.type == "cpu":
        return HostQueue(backend)
    return DeviceQueue(backend)


class Queue:
    """A backend's streams as composed kernels use them. Torch operators run in :meth:`submit`."""

    def __init__(self, backend: Backend) -> None:
        self.device: torch.device = backend.device
        #: Types of devices whose memory a kernel may be given.
        self.device_types: tuple[str, ...] = tuple(dict.fromkeys((backend.device.type, "cpu")))
        #: Whether host work can be put into a stream's order.
        self.callbacks = Capability.STREAM_CALLBACK in backend.capabilities
        self._streams = backend.streams

    def check(self, stream: object) -> None:
        """DTypeError unless None or a stream of the backend. Nothing is queued."""
        if stream is None:
            return
        if not hasattr(stream, "wait_event"):
            expected = "a stream of this backend, or None"
            raise DTypeError("stream", expected, type(stream).__name__)
        self._scope(stream)

    def submit(
        self,
        stream: Stream | None,
        work: Callable[[], object],
        operands: Iterable[torch.Tensor] = (),
    ) -> None:
        """Run torch operators in the stream's order; ``operands`` live until they have run."""
        raise NotImplementedError

    def upload(self, values: torch.Tensor, stream: Stream | None) -> torch.Tensor:
        """Host values as they are now, on the device, for work that is queued after this."""
        raise NotImplementedError

    def host_part(self, stream: Stream | None, work: Callable[[], object]) -> None:
        """Run ``work`` on the host, in the stream's order; it must not touch the device."""
        where = self._streams.current() if stream is None else stream
        if self.callbacks:
            where.add_callback(work)
        else:
            where.synchronize()
            work()

    def wait(self, stream: Stream | None) -> None:
        """Block until what the stream has now is done."""
        (self._streams.current() if stream is None else stream).synchronize()

    def _scope(self, stream: Any) -> AbstractContextManager[Any]:
        return nullcontext() if stream is None else self._streams.use(stream)


class HostQueue(Queue):
    """The CPU as the device: the operators themselves are host work in a stream's order."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        import torch

        self.device, self.device_types = torch.device("cpu"), ("cpu",)

    def submit(
        self,
        stream: Stream | None,
        work: Callable[[], object],
        operands: Iterable[torch.Tensor] = (),
    ) -> None:
        kept = tuple(operands)

        def run() -> None:
            work()
            _ = kept

        self.host_part(stream, run)

    def upload(self, values: torch.Tensor, stream: Stream | None) -> torch.Tensor:
        return values.detach().clone()


class DeviceQueue(Queue):
    """A device with memory of its own: operators are queued by torch on its current stream.

    Torch's caching allocator is told of the stream (``Tensor.record_stream``), so that operands
    may be dropped while it works.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._memcpy = backend.memcpy
        self._pinned = backend.pinned if Capability.PINNED in backend.capabilities else None
        self._torch_streams = Capability.STREAM_TORCH in backend.capabilities

    @property
    def keeps_for_good(self) -> bool:
        """Whether :meth:`keep` once for a stream holds for later work on it too."""
        return self._torch_streams

    def submit(
        self,
        stream: Stream | None,
        work: Callable[[], object],
        operands: Iterable[torch.Tensor] = (),
    ) -> None:
        with self._scope(stream):
            work()
        self.keep(stream, operands)

    def upload(self, values: torch.Tensor, stream: Stream | None) -> torch.Tensor:
        staged = self.staging(values.shape, values.dtype)
        staged.copy_(values)
        return self.to_device(staged, stream)

    def to_device(self, host: torch.Tensor, stream: Stream | None) -> torch.Tensor:
        """A contiguous host tensor's copy, in the stream's order."""
        made = self.empty(host.shape, host.dtype, stream)
        if host.numel():
            self._memcpy.copy_async(made, host, stream)
        return made

    def to_device_at(self, device: torch.Tensor, host: torch.Tensor, stream: Stream | None) -> None:
        """Copy to given memory of the device in the stream's order."""
        self._memcpy.copy_async(device, host, stream)

    def to_host(self, host: torch.Tensor, values: torch.Tensor, stream: Stream | None) -> None:
        """Copy to the host in the stream's order."""
        if host.numel():
            self._memcpy.copy_async(host, values, stream)

    def staging(self, shape: Any, dtype: torch.dtype) -> torch.Tensor:
        """Host memory that copies run beside: pinned where the backend has that."""
        import torch

        if self._pinned is None:
            return torch.empty(shape, dtype=dtype)
        return self._pinned.empty(tuple(shape), dtype)

    def empty(self, shape: Any, dtype: torch.dtype, stream: Stream | None) -> torch.Tensor:
        """Device memory that is free in the stream's order."""
        import torch

        with self._scope(stream):
            return torch.empty(tuple(shape), dtype=dtype, device=self.device)

    def keep(self, stream: Stream | None, operands: Iterable[torch.Tensor]) -> None:
        """Keep device tensors' memory until the stream has passed this point."""
        where = self._streams.current() if stream is None else stream
        held = [t for t in operands if t.device.type == self.device.type and t.numel()]
        if not held:
            return
        if self._torch_streams:
            known = where.as_torch()
            for tensor in held:
                tensor.record_stream(known)
        elif self.callbacks:
            where.add_callback(lambda: held.clear())
        else:
            where.synchronize()
