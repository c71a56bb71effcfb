"""What a pass took, layer by layer, and how much of the copying nobody had to wait for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .marks import Marks
    from .passes import Pass

__all__ = ["LayerReport", "PipelineReport", "Span", "build_report"]

#: Start and end, in milliseconds since the pass's first copy was queued for.
Span = tuple[float, float]


@dataclass(frozen=True)
class LayerReport:
    """One layer of one pass. Milliseconds; None where it did not get that far, or without timing.

    A copy is *exposed* while it makes the compute stream wait: while the stream, done with the
    layer before, stands at the wait for this one. The rest of the copy is *hidden*. A copy that was
    over when the call that queued it returned (a synchronous backend, pageable memory) held up the
    host instead, and is exposed while the compute stream waits for any layer.

    ``wait`` may be longer than that: the host may be late with the next work, and on the CPU a
    stream may have to wait for a processor.
    """

    index: int
    nbytes: int
    submit_ms: float  #: host time in the pipe's own calls, from asking for the layer to having it
    copy: Span | None  #: the copy to the device ran
    wait: Span | None  #: the compute stream stood still until the layer was there
    compute: Span | None  #: from then until the loop was done with the layer
    write_back: Span | None  #: the copy to the host ran
    exposed_ms: float | None  #: of the copy to the device

    @property
    def copy_ms(self) -> float | None:
        return _length(self.copy)

    @property
    def wait_ms(self) -> float | None:
        return _length(self.wait)

    @property
    def compute_ms(self) -> float | None:
        return _length(self.compute)

    @property
    def write_back_ms(self) -> float | None:
        return _length(self.write_back)

    @property
    def hidden(self) -> float | None:
        """Share of the copy that was hidden, 0 to 1; None when the copy took no time."""
        return _share(self.copy_ms, self.exposed_ms)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        names = ("copy_ms", "wait_ms", "compute_ms", "write_back_ms", "hidden")
        return {**asdict(self), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class PipelineReport:
    """One pass of a :class:`LayerPipeline`. Milliseconds; None without timing events.

    ``hidden`` counts the first layer, which nothing of the pass itself can hide (only
    ``pipe.prefetch()`` before the pass can): with n equal layers it stays below ``1 - 1 / n``.
    ``hidden_after_first`` leaves that layer out and says how well the steady state hides.
    """

    mode: str  #: "pipelined" or "synchronous"
    complete: bool  #: False when the loop was left early
    layers: tuple[LayerReport, ...]  #: those that were copied, in order
    elapsed_ms: float | None  #: on the compute stream, from its arrival to the end of the pass
    notes: tuple[str, ...] = ()  #: why times are missing; what slowed the pass down

    @property
    def nbytes(self) -> int:
        """Bytes copied to the device."""
        return sum(layer.nbytes for layer in self.layers)

    @property
    def submit_ms(self) -> float:
        return sum(layer.submit_ms for layer in self.layers)

    @property
    def copy_ms(self) -> float | None:
        return _sum(layer.copy_ms for layer in self.layers)

    @property
    def wait_ms(self) -> float | None:
        return _sum(layer.wait_ms for layer in self.layers)

    @property
    def compute_ms(self) -> float | None:
        return _sum(layer.compute_ms for layer in self.layers)

    @property
    def write_back_ms(self) -> float | None:
        return _sum(layer.write_back_ms for layer in self.layers)

    @property
    def exposed_ms(self) -> float | None:
        return _sum(layer.exposed_ms for layer in self.layers)

    @property
    def hidden(self) -> float | None:
        """Share of the time of all copies to the device that was hidden, 0 to 1."""
        return _share(self.copy_ms, self.exposed_ms)

    @property
    def hidden_after_first(self) -> float | None:
        """The same without the first layer; None when there is no other."""
        rest = self.layers[1:]
        return _share(_sum(x.copy_ms for x in rest), _sum(x.exposed_ms for x in rest))

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        names = (
            "nbytes", "submit_ms", "copy_ms", "wait_ms", "compute_ms", "write_back_ms",
            "exposed_ms", "hidden", "hidden_after_first",
        )  # fmt: skip
        return {
            "mode": self.mode,
            "complete": self.complete,
            "elapsed_ms": self.elapsed_ms,
            **{name: getattr(self, name) for name in names},
            "notes": list(self.notes),
            "layers": [layer.as_json() for layer in self.layers],
        }

    def __str__(self) -> str:
        """A table, one line a layer."""
        lines = [
            f"{'layer':>6} {'bytes':>12} {'submit':>8} {'copy':>8} {'compute':>8} {'hidden':>7}"
        ]
        rows: list[tuple[str, LayerReport | PipelineReport]]
        rows = [*((str(x.index), x) for x in self.layers), ("all", self)]
        for name, x in rows:
            lines.append(
                f"{name:>6} {x.nbytes:>12,} {_ms(x.submit_ms):>8} {_ms(x.copy_ms):>8}"
                f" {_ms(x.compute_ms):>8} {_percent(x.hidden):>7}"
            )
        after = _percent(self.hidden_after_first)
        lines.append(
            f"{self.mode}, {_ms(self.elapsed_ms)} ms; after the first layer {after} hidden"
        )
        return "\n".join([*lines, *self.notes])


def build_report(
    ended: Pass, nbytes: Sequence[int], synchronous: bool, notes: tuple[str, ...]
) -> PipelineReport:
    """Reads the events of a pass that has ended, once its work is done."""
    marks = ended.marks
    if marks.end is not None:
        marks.end.synchronize()
    stalls = [
        (marks.at(marks.ARRIVE, i), marks.at(marks.START, i))
        for i in range(marks.computed if marks.origin is not None else 0)
    ]
    layers = tuple(_layer(marks, i, nbytes[i], stalls) for i in range(marks.copied))
    elapsed = None
    if marks.origin is not None and marks.end is not None and stalls:
        elapsed = marks.origin.elapsed_time(marks.end) - stalls[0][0]
    mode = "synchronous" if synchronous else "pipelined"
    return PipelineReport(mode, ended.complete, layers, elapsed, notes)


def _layer(marks: Marks, i: int, nbytes: int, stalls: Sequence[Span]) -> LayerReport:
    submit = marks.submit[i] * 1e3
    if marks.origin is None:
        return LayerReport(i, nbytes, submit, None, None, None, None, None)

    def span(start: int, end: int) -> Span:
        return marks.at(start, i), marks.at(end, i)

    copy = span(marks.COPY_START, marks.COPY_END)
    return LayerReport(
        i,
        nbytes,
        submit,
        copy,
        stalls[i] if i < marks.computed else None,
        span(marks.START, marks.END) if i < marks.released else None,
        span(marks.BACK_START, marks.BACK_END) if marks.back[i] else None,
        sum(
            max(0.0, min(copy[1], end) - max(copy[0], start))
            for start, end in (stalls if marks.inline[i] else stalls[i : i + 1])
        ),
    )


def _length(span: Span | None) -> float | None:
    return None if span is None else span[1] - span[0]


def _sum(values: Any) -> float | None:
    """Of those that are there; None when none is."""
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _share(whole: float | None, exposed: float | None) -> float | None:
    if whole is None or exposed is None or whole <= 0:
        return None
    return min(1.0, max(0.0, 1 - exposed / whole))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
