"""Measures one pipeline: layers of random bytes, and compute that takes as long as it is told to.

Compute is a callback that sleeps on the compute stream: it takes no processor and no bandwidth from
the copies, so what is measured is the overlap and not the contention. Lengths are multiples of the
layer's own copy time in this run, so that rows mean the same on every machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from accel import Capability, LayerPipeline, PipelineReport

from ..buffers import bytes_differ, size_name
from ..rows import Status
from ..site import Site, one_thread
from .rows import ModeFigures, PipelineRow

if TYPE_CHECKING:
    import torch

    from accel import Stream

__all__ = ["NEEDS", "PipelineRequest", "PipelineWorkload", "run_pipelines", "workloads"]

#: The first is what is measured.
NEEDS = (
    Capability.COPY,
    Capability.STREAMS,
    Capability.EVENTS,
    Capability.EVENT_TIMING,
    Capability.STREAM_CALLBACK,
)

#: Passes of each mode, at least and at most.
PASSES = (3, 30)


@dataclass(frozen=True)
class PipelineRequest:
    """What ``accel bench pipeline`` was asked for."""

    sizes: tuple[int, ...]  #: bytes of a layer
    multiples: tuple[float, ...]  #: of the copy time: how long a layer computes
    layers: int
    ahead: int
    write_back: bool


@dataclass(frozen=True)
class PipelineWorkload:
    """One row to be."""

    layer_bytes: int
    multiple: float
    request: PipelineRequest

    @property
    def name(self) -> str:
        r = self.request
        back = ", written back" if r.write_back else ""
        return f"{r.layers} x {size_name(self.layer_bytes)}, compute {self.multiple:g} x copy{back}"

    @property
    def bytes(self) -> int:
        """What a pass copies to the device."""
        return self.layer_bytes * self.request.layers

    @property
    def footprint(self) -> int:
        """Host layers, outputs to check, and the ring."""
        return 2 * self.bytes + self.layer_bytes * (self.request.ahead + 2)


def workloads(request: PipelineRequest, max_bytes: int) -> tuple[list[PipelineWorkload], list[str]]:
    """All rows, and a line for each size that ``max_bytes`` leaves out."""
    rows: list[PipelineWorkload] = []
    left_out: list[str] = []
    for size in request.sizes:
        if size * request.layers > max_bytes:
            left_out.append(
                f"{request.layers} layers of {size_name(size)} exceed"
                f" --max-bytes {size_name(max_bytes)}"
            )
            continue
        rows += [PipelineWorkload(size, multiple, request) for multiple in request.multiples]
    return rows, left_out


def run_pipelines(
    chosen: Iterable[PipelineWorkload],
    site: Site,
    seconds: float,
    memory: Callable[[], int | None],
    progress: Callable[[PipelineWorkload], object] = lambda workload: None,
    within: float = math.inf,
) -> Iterator[PipelineRow]:
    """A row for each workload; what goes wrong is the row's status.

    Args:
        seconds: measuring time of a row.
        memory: bytes that may be taken now; None where the system does not say.
        within: seconds; a row that would begin later is skipped.
    """
    end = time.monotonic() + within
    for workload in chosen:
        if time.monotonic() > end:
            text = f"the {within:g} s of --within are over"
            yield _row(workload, site, Status.SKIPPED, text)
            continue
        progress(workload)
        missing = [c for c in NEEDS if c not in site.backend.capabilities]
        free = memory()
        if missing:
            names = ", ".join(sorted(str(c) for c in missing))
            text = f"backend {site.backend.name!r} does not claim {names}"
            yield _row(workload, site, Status.UNSUPPORTED, text)
        elif free is not None and workload.footprint > free:
            text = f"takes about {workload.footprint >> 20} MiB of {free >> 20} MiB"
            yield _row(workload, site, Status.SKIPPED, text)
        else:
            try:
                yield _Run(workload, site).measure(seconds)
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                yield _row(workload, site, Status.ERROR, text)


class _Run:
    """One workload under way."""

    def __init__(self, workload: PipelineWorkload, site: Site) -> None:
        import torch

        self.workload, self.site = workload, site
        count, size = workload.request.layers, workload.layer_bytes
        with one_thread():
            generator = site.generator(workload.name)
            self.hosts = [site.empty(site.staging, size, torch.uint8) for _ in range(count)]
            for host in self.hosts:
                site.randomise(host, generator)
            self.outs = [site.empty("device", size, torch.uint8) for _ in range(count)]
        self.compute = site.backend.streams.create()

    def measure(self, seconds: float) -> PipelineRow:
        """Check, calibrate, measure in turns, check again."""
        row, site = self.workload, self.site
        with self._pipe(synchronous=False) as fast, self._pipe(synchronous=True) as slow:
            wrong = self._wrong(fast, slow)
            if wrong:
                return _row(row, site, Status.WRONG, wrong)
            copy_ms = self._copy_ms(slow)
            length = row.multiple * copy_ms / 1e3
            reports: tuple[list[PipelineReport], list[PipelineReport]] = ([], [])
            end = time.perf_counter() + seconds
            for turn in range(PASSES[1]):
                for pipe, kept in zip((fast, slow), reports, strict=True):
                    kept.append(self._timed(pipe, length))
                if turn + 1 >= PASSES[0] and time.perf_counter() >= end:
                    break
            wrong = self._wrong(fast, slow)
            if wrong:
                return _row(row, site, Status.WRONG, f"after the measurement: {wrong}")
        figures = [ModeFigures.of(kept) for kept in reports]
        asked = {"copy_ms": copy_ms, "compute_ms": length * 1e3}
        return _row(row, site, Status.OK, "", figures[0], figures[1], 2, asked)

    def _pipe(self, *, synchronous: bool) -> LayerPipeline:
        request = self.workload.request
        return LayerPipeline(
            self.site.backend,
            self.hosts,
            request.ahead,
            stream=self.compute,
            write_back=request.write_back,
            synchronous=synchronous,
        )

    def _timed(self, pipe: LayerPipeline, seconds: float) -> PipelineReport:
        for _ in pipe:
            _sleep_on(self.compute, seconds)
        return pipe.report()

    def _copy_ms(self, slow: LayerPipeline) -> float:
        """The median copy of a layer, with nothing else going on."""
        times: list[float] = []
        for _ in range(3):
            times += [x.copy_ms or 0.0 for x in self._timed(slow, 0.0).layers]
        return median(times)

    def _wrong(self, *pipes: LayerPipeline) -> str:
        """What is wrong with the layers as they arrive on the device, or ""."""
        for pipe in pipes:
            with one_thread():
                for out in self.outs:
                    self.site.poison(out)
            self.site.synchronize()
            for layer in pipe:
                copy: torch.Tensor = layer.tensors
                self.site.backend.memcpy.copy_async(self.outs[layer.index], copy, self.compute)
            self.compute.synchronize()
            with one_thread():
                for i, (out, host) in enumerate(zip(self.outs, self.hosts, strict=True)):
                    wrong = bytes_differ(out, host)
                    if wrong:
                        mode = "synchronous" if pipe.synchronous else "pipelined"
                        return f"{mode}, layer {i}: {wrong}"
        return ""


def _sleep_on(stream: Stream, seconds: float) -> None:
    if seconds > 0:
        stream.add_callback(lambda: time.sleep(seconds))


def _row(
    workload: PipelineWorkload,
    site: Site,
    status: Status,
    reason: str,
    pipelined: ModeFigures | None = None,
    synchronous: ModeFigures | None = None,
    checked: int = 0,
    asked: dict[str, float] | None = None,
) -> PipelineRow:
    request = workload.request
    return PipelineRow(
        name=workload.name,
        status=status,
        bytes=workload.bytes,
        level=str(site.backend.capabilities[NEEDS[0]]),
        labels={
            "layers": request.layers,
            "layer_bytes": workload.layer_bytes,
            "compute_multiple": workload.multiple,
            "ahead": request.ahead,
            "write_back": int(request.write_back),
            "from": site.staging,
            **(asked or {}),
        },
        reason=reason,
        pipelined=pipelined,
        synchronous=synchronous,
        checked=checked,
        simulated=site.backend.simulated,
    )
