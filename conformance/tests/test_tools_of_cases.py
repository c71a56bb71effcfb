"""What cases rely on: byte comparison, refusals, and the graph oracle."""

from __future__ import annotations

import mmap
import random
import time

import pytest
import torch

from accel import DTypeError, ShapeError
from accel_conformance.byte_compare import assert_same_bytes, bytes_of, host_copy, random_bytes
from accel_conformance.refusals import assert_untouched
from accel_conformance.resident_memory import resident_bytes
from accel_conformance.stream_graphs import random_graph
from accel_conformance.strided_views import VIEWS, make_view


def test_byte_comparison() -> None:
    """NaNs with the same bits are the same, 0.0 and -0.0 are not; the message says where."""
    nans = torch.full((4,), float("nan"))
    assert_same_bytes(nans, nans.clone())
    with pytest.raises(AssertionError, match="the first at 3"):
        assert_same_bytes(torch.tensor([0.0]), torch.tensor([-0.0]))
    with pytest.raises(AssertionError, match="expected 8 bytes, given 4"):
        assert_same_bytes(torch.zeros(1), torch.zeros(2))
    assert_same_bytes(torch.zeros(()), torch.zeros(1))
    assert_same_bytes(torch.arange(6).view(2, 3).t(), torch.tensor([0, 3, 1, 4, 2, 5]))


def test_copies_are_copies() -> None:
    """Neither helper hands out the tensor itself."""
    tensor = torch.zeros(8, dtype=torch.uint8)
    for copy in (bytes_of(tensor), host_copy(tensor)):
        copy.fill_(1)
        assert not tensor.any()


def test_random_bytes() -> None:
    """The same generator gives the same bytes; all bit patterns occur."""
    first, second = (
        random_bytes((100, 100), torch.float16, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert_same_bytes(first, second)
    assert first.isnan().any()
    assert first.isinf().any() or bytes_of(first).unique().numel() == 256
    assert set(random_bytes((99,), torch.bool, torch.Generator()).tolist()) == {True, False}


def _refuse(error: Exception, tensor: torch.Tensor | None = None) -> None:
    if tensor is not None:
        tensor.fill_(9)
    raise error


def test_refusals() -> None:
    """The right error passes; a wrong type, name, message, a write or no error do not."""
    good = ShapeError("dst", "[2]", "[3]")
    watched = torch.zeros(4)
    assert assert_untouched(ShapeError, "dst", lambda: _refuse(good), watched) is good
    assert_untouched((ShapeError, DTypeError), ("src", "dst"), lambda: _refuse(good))
    dotted = ShapeError("src.nbytes", "[2]", "[3]")
    assert_untouched(ShapeError, "src", lambda: _refuse(dotted))
    with pytest.raises(AssertionError, match="instead of 'src'"):
        assert_untouched(ShapeError, "src", lambda: _refuse(good))
    with pytest.raises(AssertionError, match="ShapeError was raised"):
        assert_untouched(DTypeError, "dst", lambda: _refuse(good))
    with pytest.raises(AssertionError, match="was accepted"):
        assert_untouched(ShapeError, "dst", lambda: None)
    with pytest.raises(AssertionError, match="watched tensor 0"):
        assert_untouched(ShapeError, "dst", lambda: _refuse(good, watched), watched)
    with pytest.raises(AssertionError, match="what was given"):
        assert_untouched(ShapeError, "dst", lambda: _refuse(ShapeError("dst", "a", "")))
    # A write that was queued by mistake shows once the device has settled.
    with pytest.raises(AssertionError, match="watched tensor 0"):
        assert_untouched(
            ShapeError,
            "dst",
            lambda: _refuse(good),
            untouched := torch.zeros(1),
            settle=lambda: untouched.fill_(1),
        )


@pytest.mark.parametrize("name", list(VIEWS))
def test_views(name: str) -> None:
    """Each view has the shape that is said, stays inside, and names no element twice."""
    base = torch.arange(VIEWS[name][0])
    view = make_view(base, name)
    assert tuple(view.shape) == (6, 5, 4)
    assert view.reshape(-1).unique().numel() == 120


@pytest.mark.parametrize("seed", range(30))
def test_graphs_have_one_outcome(seed: int) -> None:
    """Any order of execution that honours FIFO and waits gives what the oracle says.

    And orders that ignore the waits do not always: the graphs can find a lost wait.
    """
    draw = random.Random(seed)
    graph = random_graph(draw, steps=40)
    for _ in range(20):
        assert _execute(graph, draw, honour=True) == graph.final
    broken = 0
    for _ in range(200):
        other = random_graph(draw, steps=40)
        broken += _execute(other, draw, honour=False) != other.final
    assert broken > 0


def _execute(graph: object, draw: random.Random, honour: bool) -> list[int]:
    """Run the program by a simulated scheduler that interleaves the streams at random."""
    queues: list[list[tuple[object, set[int]]]] = [[] for _ in range(graph.streams)]  # type: ignore[attr-defined]
    snapshots: list[set[int]] = [set() for _ in range(graph.events)]  # type: ignore[attr-defined]
    for number, step in enumerate(graph.steps):  # type: ignore[attr-defined]
        # What must be done before this step may run: step numbers.
        awaited: set[int] = set()
        queue = queues[step.stream]
        if step.kind == "wait":
            awaited = set(snapshots[step.a])
        elif step.kind == "join":
            awaited = {n for n, _, _ in _numbered(queues[step.a])}
        elif step.kind == "record":
            snapshots[step.a] = {n for n, _, _ in _numbered(queue)}
        queue.append(((number, step), awaited if honour else set()))
    values = list(range(len(graph.final)))  # type: ignore[attr-defined]
    done: set[int] = set()
    while any(queues):
        ready = [q for q in queues if q and q[0][1] <= done]
        (number, step), _ = draw.choice(ready).pop(0)  # type: ignore[misc]
        if step.kind == "copy":
            values[step.b] = values[step.a]
        done.add(number)
    return values


def _numbered(queue: list[tuple[object, set[int]]]) -> list[tuple[int, object, set[int]]]:
    return [(entry[0], entry[1], awaited) for entry, awaited in queue]  # type: ignore[index]


def test_resident_memory() -> None:
    """It sees 64 MiB that are written to."""
    before = resident_bytes()
    if before is None:
        return
    # Fresh pages: what an allocator hands out may have been resident all along.
    with mmap.mmap(-1, 64 << 20) as block:
        block.write(b"x" * len(block))
        end = time.monotonic() + 5  # some kernels bring the count up to date by and by
        while (after := resident_bytes()) is not None and time.monotonic() < end:
            if after - before > 48 << 20:
                break
            time.sleep(0.05)
        assert after is not None
        assert after - before > 48 << 20
