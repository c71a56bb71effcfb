"""A loop shaped like decoding: every layer's copy from the host hidden behind matrix products.

Measured in turns: the products alone, the loop over a :class:`accel.LayerPipeline`, the same with
explicit synchronisation, and, where torch has streams of the device, the same loop written by hand
with torch's streams and events. Passes are timed from outside, by events around them and by the
host's clock, without the pipe's own timing events; one more pass with those says what was hidden.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from accel import Capability, LayerPipeline, PipelineReport

from ..buffers import bytes_differ, size_name
from ..rows import Status
from ..site import Site, one_thread
from .decode_rows import DecodeRow, ModeTimes

if TYPE_CHECKING:
    import torch

    from accel import Stream

__all__ = ["NEEDS", "DecodeRequest", "measure_decode"]

#: The first is what is measured.
NEEDS = (Capability.COPY, Capability.STREAMS, Capability.EVENTS, Capability.EVENT_TIMING)

PRODUCTS = 3  #: matrix products of a layer
PASSES = (5, 50)  #: of each mode, at least and at most
STEP = 128  #: a product's extents are multiples of it on a device
FEWEST, MOST = 32, 16384  #: extents of a product

#: Runs what a layer computes, and in a check copies the layer to where it is compared.
Visit = Callable[[int, Any], object]


@dataclass(frozen=True)
class DecodeRequest:
    """What was asked for: ``multiple`` is how long a layer computes, in times of its copy."""

    layers: int
    layer_bytes: int
    multiple: float
    ahead: int

    @property
    def name(self) -> str:
        copied = f"{self.layers} x {size_name(self.layer_bytes)}"
        return f"{copied}, {PRODUCTS} products of {self.multiple:g} x copy"

    @property
    def footprint(self) -> int:
        """Bytes of host memory."""
        return 2 * self.layers * self.layer_bytes


def measure_decode(request: DecodeRequest, site: Site, seconds: float) -> DecodeRow:
    """Check, calibrate, measure in turns, check again; what goes wrong is the row's status."""
    missing = [c for c in NEEDS if c not in site.backend.capabilities]
    if missing:
        names = ", ".join(sorted(str(c) for c in missing))
        text = f"backend {site.backend.name!r} does not claim {names}"
        return _row(request, site, Status.UNSUPPORTED, text)
    try:
        return _Run(request, site).measure(seconds)
    except Exception as error:
        return _row(request, site, Status.ERROR, f"{type(error).__name__}: {error}")


class _Run:
    """One row under way."""

    def __init__(self, request: DecodeRequest, site: Site) -> None:
        import torch

        self.request, self.site, self.backend = request, site, site.backend
        count, size = request.layers, request.layer_bytes
        with one_thread():
            generator = site.generator(request.name)
            self.hosts = [site.empty(site.staging, size, torch.uint8) for _ in range(count)]
            for host in self.hosts:
                site.randomise(host, generator)
            self.outs = [site.empty("device", size, torch.uint8) for _ in range(count)]
        self.compute = self.backend.streams.create()
        self.products = _Products(site, FEWEST)
        self._start, self._end = (self.backend.events.create(timing=True) for _ in range(2))

    def measure(self, seconds: float) -> DecodeRow:
        request, site = self.request, self.site
        with self._pipe() as fast, self._pipe(synchronous=True) as slow:
            modes: dict[str, Callable[[Visit], object]] = {
                "pipelined": lambda visit: self._through(fast, visit),
                "synchronous": lambda visit: self._through(slow, visit),
            }
            by_hand = _ByHand.make(site, self.hosts, request.ahead, self.compute)
            if by_hand is not None:
                modes["by hand"] = by_hand.run
            wrong = self._wrong(modes)
            if wrong:
                return _row(request, site, Status.WRONG, wrong)
            copy_ms = self._copy_ms()
            self._calibrate(request.multiple * copy_ms / PRODUCTS)
            measured = self._turns({"compute": self._compute_alone, **modes}, seconds)
            wrong = self._wrong(modes)
            if wrong:
                return _row(request, site, Status.WRONG, f"after the measurement: {wrong}")
        reports = {
            name: self._report(synchronous=name == "synchronous")
            for name in ("pipelined", "synchronous")
        }
        return _row(
            request, site, Status.OK, "", measured, reports, copy_ms, self.products.extent, 2
        )

    # --- the loops -----------------------------------------------------------------------------

    def _pipe(self, *, synchronous: bool = False, timing: bool = False) -> LayerPipeline:
        return LayerPipeline(
            self.backend,
            self.hosts,
            self.request.ahead,
            stream=self.compute,
            synchronous=synchronous,
            timing=timing,
        )

    def _through(self, pipe: LayerPipeline, visit: Visit) -> None:
        for layer in pipe:
            visit(layer.index, layer.tensors)

    def _compute_alone(self, visit: Visit) -> None:
        for i in range(self.request.layers):
            visit(i, None)

    def _compute(self, index: int, tensor: Any) -> None:
        self.products.run()

    # --- measuring -----------------------------------------------------------------------------

    def _turns(
        self, modes: dict[str, Callable[[Visit], object]], seconds: float
    ) -> dict[str, ModeTimes]:
        kept: dict[str, list[tuple[float, float]]] = {name: [] for name in modes}
        for run in modes.values():
            self._timed(run)
        end = time.perf_counter() + seconds
        for turn in range(PASSES[1]):
            for name, run in modes.items():
                kept[name].append(self._timed(run))
            if turn + 1 >= PASSES[0] and time.perf_counter() >= end:
                break
        return {name: ModeTimes.of(times) for name, times in kept.items()}

    def _timed(self, run: Callable[[Visit], object]) -> tuple[float, float]:
        """Milliseconds of one pass on the compute stream, and of the host to queue it."""
        self.backend.streams.synchronize()
        with self.backend.stream(self.compute):
            self._start.record(self.compute)
            begin = time.perf_counter()
            run(self._compute)
            submit = time.perf_counter() - begin
            self._end.record(self.compute)
        self._end.synchronize()
        return self._start.elapsed_time(self._end), submit * 1e3

    def _copy_ms(self) -> float:
        """The median copy of a layer, with nothing else going on."""
        into = self.outs[0]
        times = []
        for host in self.hosts[:16]:
            self._start.record(self.compute)
            self.backend.memcpy.copy_async(into, host, self.compute)
            self._end.record(self.compute)
            self._end.synchronize()
            times.append(self._start.elapsed_time(self._end))
        return median(times)

    def _calibrate(self, wanted_ms: float) -> None:
        """Choose the products' extent so that one takes about ``wanted_ms``."""
        step = STEP if self.site.separate else FEWEST
        for _ in range(8):
            took = self._product_ms()
            extent = self.products.extent * (wanted_ms / max(took, 1e-6)) ** (1 / 3)
            rounded = min(MOST, max(step, round(extent / step) * step))
            if rounded == self.products.extent:
                return
            self.products = _Products(self.site, rounded)

    def _product_ms(self) -> float:
        def some(visit: Visit) -> None:
            for _ in range(8):
                self.products.run()

        return min(self._timed(some)[0] for _ in range(3)) / (8 * PRODUCTS)

    def _report(self, *, synchronous: bool) -> PipelineReport:
        """A pass with the pipe's own timing events; the second one, all buffers being warm."""
        with self._pipe(synchronous=synchronous, timing=True) as pipe:
            for _ in range(2):
                self._timed(lambda visit: self._through(pipe, visit))
            return pipe.report()

    def _wrong(self, modes: dict[str, Callable[[Visit], object]]) -> str:
        """What is wrong with the layers as they arrive on the device, or ""."""
        copy = self.backend.memcpy.copy_async
        for name, run in modes.items():
            with one_thread():
                for out in self.outs:
                    self.site.poison(out)
            self.backend.streams.synchronize()
            with self.backend.stream(self.compute):
                run(lambda i, tensor: copy(self.outs[i], tensor, self.compute))
            self.compute.synchronize()
            with one_thread():
                for i, (out, host) in enumerate(zip(self.outs, self.hosts, strict=True)):
                    wrong = bytes_differ(out, host)
                    if wrong:
                        return f"{name}, layer {i}: {wrong}"
        return ""


class _Products:
    """Matrix products of one extent, into memory allocated before."""

    def __init__(self, site: Site, extent: int) -> None:
        import torch

        self.extent = extent
        dtype = torch.bfloat16 if site.separate else torch.float32
        self._a, self._b, self._out = (site.empty("device", (extent, extent), dtype) for _ in "abc")
        for tensor in (self._a, self._b):
            tensor.copy_(torch.randn(extent, extent, generator=site.generator("products")))

    def run(self) -> None:
        """Those of one layer, on torch's current stream."""
        import torch

        for _ in range(PRODUCTS):
            torch.mm(self._a, self._b, out=self._out)


class _ByHand:
    """The pipelined loop as a framework writes it: torch's streams, events and ``copy_``."""

    def __init__(self, module: Any, site: Site, hosts: list[torch.Tensor], ahead: int) -> None:
        import torch

        self._module, self._hosts, self._ahead = module, hosts, ahead
        size = len(hosts[0])
        self._ring = [site.empty("device", size, torch.uint8) for _ in range(ahead + 1)]
        self._copies = module.Stream(device=site.backend.device)
        self._there = [module.Event() for _ in self._ring]
        self._free = [module.Event() for _ in self._ring]

    @classmethod
    def make(
        cls, site: Site, hosts: list[torch.Tensor], ahead: int, compute: Stream
    ) -> _ByHand | None:
        """None where torch has no streams of the device."""
        import torch

        if not site.separate or Capability.STREAM_TORCH not in site.backend.capabilities:
            return None
        made = cls(torch.get_device_module(site.backend.device), site, hosts, ahead)
        made._compute = compute.as_torch()
        return made

    _compute: Any = None

    def run(self, visit: Visit) -> None:
        """One pass; torch's current stream is the compute stream."""
        self._copies.wait_stream(self._compute)
        for i in range(min(self._ahead, len(self._hosts))):
            self._fetch(i)
        for i in range(len(self._hosts)):
            slot = i % len(self._ring)
            if i + self._ahead < len(self._hosts):
                self._fetch(i + self._ahead)
            self._compute.wait_event(self._there[slot])
            visit(i, self._ring[slot])
            self._free[slot].record(self._compute)

    def _fetch(self, i: int) -> None:
        slot = i % len(self._ring)
        if i >= len(self._ring):
            self._copies.wait_event(self._free[slot])
        with self._module.stream(self._copies):
            self._ring[slot].copy_(self._hosts[i], non_blocking=True)
        self._there[slot].record(self._copies)


def requests(
    sizes: tuple[int, ...], multiples: tuple[float, ...], layers: int, ahead: int
) -> Iterator[DecodeRequest]:
    """A row for each size and multiple."""
    for size in sizes:
        for multiple in multiples:
            yield DecodeRequest(layers, size, multiple, ahead)


def _row(
    request: DecodeRequest,
    site: Site,
    status: Status,
    reason: str,
    modes: dict[str, ModeTimes] | None = None,
    reports: dict[str, PipelineReport] | None = None,
    copy_ms: float = 0.0,
    extent: int = 0,
    checked: int = 0,
) -> DecodeRow:
    return DecodeRow(
        name=request.name,
        status=status,
        layers=request.layers,
        layer_bytes=request.layer_bytes,
        ahead=request.ahead,
        level=str(site.backend.capabilities[NEEDS[0]]),
        source=site.staging,
        reason=reason,
        modes=modes or {},
        reports=reports or {},
        copy_ms=copy_ms,
        extent=extent,
        checked=checked,
        simulated=site.backend.simulated,
    )
