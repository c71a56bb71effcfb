"""Where a benchmark runs: a backend, its kinds of memory, its clock and its plain copies.

Data is made and checked by torch, so that what is measured never checks itself: on the device where
torch's operators run there, else on the host, and then a device needs no operator but ``copy_``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from accel import Capability

from .measure import Clock, EventClock, HostClock, SubmitClock, in_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from accel import Backend, Stream

__all__ = ["POISON", "Kind", "Site", "one_thread"]

#: Memory: of the device, page-locked from the backend's pool, plain host memory.
Kind = Literal["device", "pinned", "host"]

#: Every byte of an output before the measured call writes it.
POISON = 0xA5

#: Sets of buffers that a row goes round, at most.
MOST_SETS = 32

#: A copy that keeps the device busy while the host queues what is timed.
AHEAD_BYTES = 256 << 20


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
        torch_ways: time how plain torch does the same.
        operators: torch's operators run on the device; by default found out.
        cache_bytes: of the device's last-level cache; by default what torch knows of it.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        separate: bool | None = None,
        seed: int = 0,
        index_on_device: bool = False,
        timelines: bool = False,
        torch_ways: bool = True,
        operators: bool | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self.backend = backend
        self.separate = backend.device.type != "cpu" if separate is None else separate
        self.seed = seed
        self.index_on_device = index_on_device and self.separate
        self.timelines = timelines
        self.torch_ways = torch_ways
        self._operators = operators
        self._cache_bytes = cache_bytes
        self._pair: dict[tuple[Kind, Kind], tuple[torch.Tensor, torch.Tensor]] = {}
        self._ahead: tuple[Callable[[], object], float] | None = None

    # --- the device ------------------------------------------------------------------------

    @cached_property
    def operators(self) -> bool:
        """Whether data is made and compared on the device."""
        if self._operators is not None or not self.separate:
            return bool(self._operators)
        return _has_operators(self.backend.device)

    @property
    def checking(self) -> torch.device:
        """Where results are compared."""
        import torch

        return self.backend.device if self.operators else torch.device("cpu")

    @cached_property
    def cache_bytes(self) -> int:
        """Of the device's last-level cache; 0 where torch does not say, and on the CPU."""
        import torch

        if self._cache_bytes is not None or self.backend.device.type == "cpu":
            return self._cache_bytes or 0
        try:
            module = torch.get_device_module(self.backend.device)
            properties = module.get_device_properties(self.backend.device)
        except (AttributeError, RuntimeError):
            return 0
        return int(getattr(properties, "L2_cache_size", 0))

    def sets(self, nbytes: int) -> int:
        """Sets of buffers to go round, so that what one call left in the cache serves no other.

        Args:
            nbytes: read and written by a call. On the CPU and where the cache is not known, one.
        """
        if not self.event_timed or nbytes <= 0:
            return 1
        return max(1, min(MOST_SETS, math.ceil(2 * self.cache_bytes / nbytes)))

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

    def generator_there(self, what: str) -> torch.Generator:
        """The same where results are compared, so that large data can be made there."""
        import torch

        if not self.operators or self.backend.device.type == "cpu":
            return self.generator(what)
        seed = self.seed + zlib.crc32(what.encode())
        return torch.Generator(self.backend.device).manual_seed(seed)

    def randomise(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Random bytes in a contiguous tensor of any dtype."""
        import torch

        raw = tensor.view(-1).view(torch.uint8)
        made = raw
        if raw.device != self.checking and (self.operators or raw.device.type != "cpu"):
            made = torch.empty(len(raw), dtype=torch.uint8, device=self.checking)
        if made.device.type != "cpu":
            seed = int(torch.randint(2**62, (), generator=generator))
            generator = torch.Generator(made.device).manual_seed(seed)
        words = len(made) // 8 * 8  # eight bytes at a time is several times faster
        if words and made.data_ptr() % 8 == 0:
            # The whole range: random_() alone leaves the sign bit at zero.
            made[:words].view(torch.int64).random_(-(2**63), None, generator=generator)
        else:
            words = 0
        made[words:].random_(generator=generator)
        if made is not raw:
            raw.copy_(made)

    def poison(self, tensor: torch.Tensor) -> None:
        """POISON in every byte of a contiguous tensor."""
        import torch

        raw = tensor.view(-1).view(torch.uint8)
        if raw.device.type == "cpu" or self.operators:
            raw.fill_(POISON)
        else:
            raw.copy_(torch.full((len(raw),), POISON, dtype=torch.uint8))

    def index(self, indices: torch.Tensor) -> torch.Tensor:
        """``indices`` where KV calls of this run get them."""
        return indices.to(self.backend.device) if self.index_on_device else indices

    def release(self) -> None:
        """Drop the buffers kept for plain copies."""
        self._pair.clear()
        self._ahead = None

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
            return EventClock(create(timing=True), create(timing=True), *self._running_ahead())
        return HostClock(self.synchronize)

    def _running_ahead(self) -> tuple[Callable[[], object], float]:
        """A call that keeps the device busy, and for how many seconds."""
        import torch

        if self._ahead is None:
            nbytes = AHEAD_BYTES if self.cache_bytes else 1 << 10
            into, out_of = (self.empty("device", nbytes, torch.uint8) for _ in range(2))
            call = partial(self.backend.memcpy.copy_async, into, out_of)
            create = self.backend.events.create
            clock = EventClock(create(timing=True), create(timing=True))
            self._ahead = call, min(clock.time(call, 1) for _ in range(4))
        return self._ahead

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
        sets: int = 1,
    ) -> tuple[str, Callable[[], object]]:
        """What every row is compared with: its name, and the call.

        Two contiguous buffers of these kinds. A clock that does not itself wait for the host gets
        ``copy_async``: with ``copy`` it would time the host's wake-up too.

        Args:
            sets: of buffers, which the calls go round.
        """
        import torch

        pair = self._pair.get((dst, src))
        # Every set begins on a boundary that copies are fast from.
        pitch = nbytes if sets == 1 else -(-nbytes // 4096) * 4096
        whole = pitch * (sets - 1) + nbytes
        if pair is None or len(pair[0]) < whole:
            self._pair.clear()
            pair = self.empty(dst, whole, torch.uint8), self.empty(src, whole, torch.uint8)
            with one_thread():
                self.poison(pair[0])
                self.randomise(pair[1], self.generator("plain copy"))
            self._pair[dst, src] = pair
        blocking = isinstance(clock, HostClock)
        name = "copy" if blocking else "copy_async"
        copy = getattr(self.backend.memcpy, name)
        if stream is not None:
            copy = partial(copy, stream=stream)
        calls = [
            partial(copy, *(side[i * pitch : i * pitch + nbytes] for side in pair))
            for i in range(sets)
        ]
        return f"memcpy.{name}, {self.label(src)} to {self.label(dst)}", in_turns(calls)


def _has_operators(device: torch.device) -> bool:
    """Whether those that make and compare data run on ``device``."""
    import torch

    try:
        generator = torch.Generator(device).manual_seed(1)
        x = torch.empty(64, dtype=torch.uint8, device=device)
        x.view(torch.int64).random_(-(2**63), None, generator=generator)
        rows = x.view(4, 16).index_select(0, torch.tensor([3, 1], device=device))
        x.fill_(POISON)
        return (
            bool(torch.equal(x, x.clone()))
            and int(x.min()) == int(x.max()) == POISON
            and len((rows != rows).any(dim=1).nonzero()) == 0
        )
    except (NotImplementedError, RuntimeError, TypeError):
        return False
