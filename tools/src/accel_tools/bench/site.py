"""Where a benchmark runs: a backend, its kinds of memory, its clock and its plain copies.

Data is made and checked on the host and travels by torch's own copies, so that what is measured
never checks itself, and a device needs no torch operator but ``copy_``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from accel import Capability

from .measure import Clock, EventClock, HostClock, SubmitClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from accel import Backend, Stream

__all__ = ["POISON", "Kind", "Site", "one_thread"]

#: Memory: of the device, page-locked from the backend's pool, plain host memory.
Kind = Literal["device", "pinned", "host"]

#: Every byte of an output before the measured call writes it.
POISON = 0xA5


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch's own work on one thread.

    OpenMP's threads spin for milliseconds after an operator, so that filling or comparing a
    buffer would slow down what is measured next; and beside other busy processes they wait for
    one another as long.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Site:
    """One backend as the workloads see it.

    Args:
        backend: what is measured, through the contract only.
        separate: the device has memory of its own, apart from the host's; by default true for
            every device type but ``cpu``. Without it "device" memory is plain host memory.
        seed: of all random data and indices.
        index_on_device: give index tensors to KV calls in device memory instead of host memory.
        timelines: trace one more call of each row, for a picture of its streams.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        separate: bool | None = None,
        seed: int = 0,
        index_on_device: bool = False,
        timelines: bool = False,
    ) -> None:
        self.backend = backend
        self.separate = backend.device.type != "cpu" if separate is None else separate
        self.seed = seed
        self.index_on_device = index_on_device and self.separate
        self.timelines = timelines
        self._pair: dict[tuple[Kind, Kind], tuple[torch.Tensor, torch.Tensor]] = {}

    # --- memory ----------------------------------------------------------------------------

    def label(self, kind: Kind) -> str:
        """The word for ``kind`` in tables."""
        return "host" if kind == "device" and not self.separate else kind

    def has(self, kind: Kind) -> bool:
        """Whether memory of ``kind`` can be had."""
        return kind != "pinned" or Capability.PINNED in self.backend.capabilities

    @property
    def staging(self) -> Kind:
        """The best host memory: pinned where there is a pool."""
        return "pinned" if self.has("pinned") else "host"

    def empty(self, kind: Kind, shape: int | Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """An uninitialised contiguous tensor of this kind of memory."""
        import torch

        if kind == "pinned":
            return self.backend.pinned.empty(shape, dtype)
        device = self.backend.device if kind == "device" and self.separate else "cpu"
        return torch.empty(shape, dtype=dtype, device=device)

    def generator(self, what: str) -> torch.Generator:
        """A host generator of its own for each use, the same in every run of one seed."""
        import torch

        return torch.Generator().manual_seed(self.seed + zlib.crc32(what.encode()))

    def randomise(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Random bytes in a contiguous tensor of any dtype."""
        import torch

        raw = tensor.view(-1).view(torch.uint8)
        host = raw if raw.device.type == "cpu" else torch.empty(len(raw), dtype=torch.uint8)
        words = len(host) // 8 * 8  # eight bytes at a time is several times faster
        if words and host.data_ptr() % 8 == 0:
            # The whole range: random_() alone leaves the sign bit at zero.
            host[:words].view(torch.int64).random_(-(2**63), None, generator=generator)
        else:
            words = 0
        host[words:].random_(generator=generator)
        if host is not raw:
            raw.copy_(host)

    def poison(self, tensor: torch.Tensor) -> None:
        """POISON in every byte of a contiguous tensor."""
        import torch

        raw = tensor.view(-1).view(torch.uint8)
        if raw.device.type == "cpu":
            raw.fill_(POISON)
        else:
            raw.copy_(torch.full((len(raw),), POISON, dtype=torch.uint8))

    def index(self, indices: torch.Tensor) -> torch.Tensor:
        """``indices`` where KV calls of this run get them."""
        return indices.to(self.backend.device) if self.index_on_device else indices

    def release(self) -> None:
        """Drop the buffers kept for plain copies."""
        self._pair.clear()

    # --- time ------------------------------------------------------------------------------

    def synchronize(self, stream: Stream | None = None) -> None:
        """Wait for ``stream`` (the current one if None).

        Without streams there is nothing to wait for.
        """
        if stream is not None:
            stream.synchronize()
        elif Capability.STREAMS in self.backend.capabilities:
            self.backend.streams.current().synchronize()

    @property
    def event_timed(self) -> bool:
        """True where :meth:`clock` is events: the device is not the host, and can time."""
        return self.separate and Capability.EVENT_TIMING in self.backend.capabilities

    def clock(self) -> Clock:
        """Events where the device has them; the host's clock elsewhere."""
        if self.event_timed:
            create = self.backend.events.create
            return EventClock(create(timing=True), create(timing=True))
        return HostClock(self.synchronize)

    def submit_clock(self, stream: Stream | None = None) -> SubmitClock:
        """Host time of the calls alone; ``stream`` is where they go (the current one if None)."""
        return SubmitClock(partial(self.synchronize, stream))

    def plain_copy(
        self,
        dst: Kind,
        src: Kind,
        nbytes: int,
        clock: Clock,
        stream: Stream | None = None,
    ) -> tuple[str, Callable[[], object]]:
        """What every row is compared with: its name, and the call.

        Two contiguous buffers of these kinds. A clock that does not itself wait for the host gets
        ``copy_async``: with ``copy`` it would time the host's wake-up too.
        """
        import torch

        pair = self._pair.get((dst, src))
        if pair is None or len(pair[0]) < nbytes:
            self._pair.clear()
            pair = self.empty(dst, nbytes, torch.uint8), self.empty(src, nbytes, torch.uint8)
            with one_thread():
                self.poison(pair[0])
                self.randomise(pair[1], self.generator("plain copy"))
            self._pair[dst, src] = pair
        into, out_of = pair[0][:nbytes], pair[1][:nbytes]
        blocking = isinstance(clock, HostClock)
        name = "copy" if blocking else "copy_async"
        call = partial(getattr(self.backend.memcpy, name), into, out_of)
        if stream is not None:
            call = partial(call, stream=stream)
        return f"memcpy.{name}, {self.label(src)} to {self.label(dst)}", call
