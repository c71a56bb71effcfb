"""LayerPipeline on this backend: the bytes of every layer, order, early ends, write-back."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import torch

from accel import Backend, Capability, LayerPipeline
from accel.errors import AccelError, ArgumentError, DeviceError, OverlapError, StateError
from accel_conformance.byte_compare import assert_same_bytes, host_copy, random_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Gates, Guards, RandomTensor, ReportProperty
from accel_conformance.layer_work import LayerWork, layer_work
from accel_conformance.refusals import assert_untouched

work = layer_work

PIPE = [Capability.STREAMS, Capability.EVENTS, Capability.COPY]
#: What must not block the host is only tried with page-locked memory.
GATED = [*PIPE, Capability.STREAM_CALLBACK, Capability.PINNED]


@case(level=1, needs=PIPE)
@pytest.mark.parametrize("mode", ["pipelined", "synchronous"])
@pytest.mark.parametrize("ahead", [1, 2, 6])
def test_contents(backend: Backend, layer_work: LayerWork, ahead: int, mode: str) -> None:
    """Every layer is exactly right under random delays, pass after pass, the host changing it."""
    layers = layer_work.layers(9)
    compute = backend.streams.create()
    with LayerPipeline(
        backend, layers, ahead, stream=compute, synchronous=mode == "synchronous"
    ) as pipe:
        for number in range(3):
            layer_work.prepare(number, layers)
            seen = []
            for layer in pipe:
                layer_work.delay(compute)
                layer_work.compute(number, layer, compute)
                layer_work.delay(compute)
                layer_work.delay(pipe.copy_stream)
                seen.append(layer.index)
            assert seen == list(range(9))
            compute.synchronize()
            layer_work.change(layers)
    for number in range(3):
        layer_work.check(number, range(9))


@case(level=1, needs=PIPE)
@pytest.mark.parametrize("which", ["default", "created"])
def test_current_stream(backend: Backend, layer_work: LayerWork, which: str) -> None:
    """Without a stream the pipe computes on the current one, between eager torch operations."""
    layers = layer_work.layers(5, equal=True)
    streams = backend.streams
    stream = streams.default() if which == "default" else streams.create()
    with backend.stream(stream):
        outputs = torch.zeros((5, 700, 7), device=backend.device)
        with LayerPipeline(backend, layers) as pipe:
            for layer in pipe:
                outputs[layer.index].view(torch.int32).copy_(layer.tensors.view(torch.int32))
    stream.synchronize()
    assert_same_bytes(outputs, torch.stack(layers))


@case(level=1, needs=GATED)
def test_compute_held(backend: Backend, layer_work: LayerWork, gate: Gates) -> None:
    """Compute far behind: slots are not overwritten early, and no call waits on the host."""
    layers = layer_work.layers(8, pinned=True)
    layer_work.prepare(0, layers)
    compute = backend.streams.create()
    with LayerPipeline(backend, layers, 1, stream=compute) as pipe:
        with gate(compute):
            for layer in pipe:
                layer_work.compute(0, layer, compute)
            time.sleep(0.02)
            assert not compute.query(), "the compute stream went past a closed gate"
        compute.synchronize()
    layer_work.check(0, range(8))


@case(level=1, needs=GATED)
def test_copies_held(backend: Backend, layer_work: LayerWork, gate: Gates) -> None:
    """Copies far behind: compute waits for its layer, and no call waits on the host."""
    layers = layer_work.layers(8, pinned=True)
    layer_work.prepare(0, layers)
    compute = backend.streams.create()
    with LayerPipeline(backend, layers, 2, stream=compute) as pipe:
        with gate(pipe.copy_stream):
            for layer in pipe:
                layer_work.compute(0, layer, compute)
            time.sleep(0.02)
            assert not compute.query(), "the compute stream did not wait for the copies"
        compute.synchronize()
    layer_work.check(0, range(8))


@case(level=1, needs=GATED)
def test_both_held(backend: Backend, layer_work: LayerWork, gate: Gates) -> None:
    """Three whole passes with write-back are submitted while neither stream moves."""
    layers = layer_work.layers(6, pinned=True)
    layer_work.prepare(0, layers)
    for number in (1, 2):
        layer_work.prepare(number, layers)
    compute = backend.streams.create()
    with LayerPipeline(backend, layers, 2, stream=compute, write_back=True) as pipe:
        with gate(compute), gate(pipe.copy_stream):
            for number in range(3):
                for layer in pipe:
                    layer_work.compute(number, layer, compute)
                pipe.prefetch()
            time.sleep(0.02)
            assert not compute.query()
            assert not pipe.copy_stream.query()
        compute.synchronize()
    for number in range(3):
        layer_work.check(number, range(6))


@case(level=1, needs=PIPE)
@pytest.mark.parametrize("mode", ["pipelined", "synchronous"])
@pytest.mark.parametrize("ahead", [1, 3])
def test_write_back(
    backend: Backend,
    guarded: Guards,
    layer_work: LayerWork,
    rng: torch.Generator,
    ahead: int,
    mode: str,
) -> None:
    """What compute writes into a layer is in the host's tensor after the pass, and in the next."""
    layers = layer_work.layers(7, equal=True)
    compute = backend.streams.create()
    new = [
        [random_bytes((700, 7), torch.float32, rng).to(backend.device) for _ in layers]
        for _ in range(3)
    ]
    backend.streams.default().synchronize()
    with LayerPipeline(
        backend, layers, ahead, stream=compute, write_back=True, synchronous=mode == "synchronous"
    ) as pipe:
        for number in range(3):
            layer_work.prepare(number, layers)
            for layer in pipe:
                layer_work.delay(compute)
                layer_work.compute(number, layer, compute)
                backend.memcpy.copy_async(layer.tensors, new[number][layer.index], compute)
                layer_work.delay(pipe.copy_stream)
            compute.synchronize()
            layer_work.check(number, range(7))
            for index, layer in enumerate(layers):
                assert_same_bytes(layer, new[number][index], f"pass {number}, host layer {index}")


@case(level=1, needs=PIPE)
def test_write_back_is_read_again(backend: Backend, layer_work: LayerWork) -> None:
    """Passes queued without a synchronisation hand what they wrote to one another."""
    layers = layer_work.layers(5, equal=True, pinned=Capability.PINNED in backend.capabilities)
    compute = backend.streams.create()
    rotated = [host_copy(layer) for layer in layers]
    spare = torch.empty((2, 700, 7), device=backend.device)
    with LayerPipeline(backend, layers, 2, stream=compute, write_back=True) as pipe:
        for _ in range(4):
            for layer in pipe:
                # Each row moves up by one, the first becomes the last.
                layer_work.delay(compute, 0.001)
                backend.memcpy.copy_async(spare[0], layer.tensors, compute)
                backend.memcpy.copy_async(layer.tensors[:-1], spare[0][1:], compute)
                backend.memcpy.copy_async(layer.tensors[-1], spare[0][0], compute)
            pipe.prefetch()
    compute.synchronize()
    for index, layer in enumerate(layers):
        assert_same_bytes(layer, rotated[index].roll(-4, 0), f"layer {index} after four passes")


@case(level=1, needs=PIPE)
def test_reads_in_stream_order(
    backend: Backend, layer_work: LayerWork, rng: torch.Generator
) -> None:
    """Host tensors that the compute stream wrote before the loop are read as it left them."""
    layers = layer_work.layers(4, equal=True, pinned=Capability.PINNED in backend.capabilities)
    new = [random_bytes((700, 7), torch.float32, rng) for _ in layers]
    arrived = [layer.to(backend.device, copy=True) for layer in new]
    outputs = [torch.zeros((700, 7), device=backend.device) for _ in layers]
    compute = backend.streams.create()
    backend.streams.default().synchronize()
    with LayerPipeline(backend, layers, 3, stream=compute) as pipe:
        for _ in range(2):
            if Capability.STREAM_CALLBACK in backend.capabilities:
                compute.add_callback(lambda: time.sleep(0.02))
            for layer, data in zip(layers, arrived, strict=True):
                backend.memcpy.copy_async(layer, data, compute)
            for current in pipe:
                backend.memcpy.copy_async(outputs[current.index], current.tensors, compute)
            compute.synchronize()
            for output, data in zip(outputs, new, strict=True):
                assert_same_bytes(output, data)
            arrived.reverse()
            new.reverse()


@case(level=1, needs=PIPE)
@pytest.mark.parametrize("how", ["break", "exception", "release and break"])
def test_left_early(backend: Backend, layer_work: LayerWork, how: str) -> None:
    """A loop left early leaves a pipe that works, and nothing behind in the host's tensors."""
    layers = layer_work.layers(6, equal=True)
    before = [host_copy(layer) for layer in layers]
    compute = backend.streams.create()
    ones = torch.ones((700, 7), device=backend.device)
    backend.streams.default().synchronize()
    with LayerPipeline(backend, layers, 2, stream=compute, write_back=True) as pipe:
        try:
            for layer in pipe:
                layer_work.delay(compute)
                if layer.index == 2:
                    backend.memcpy.copy_async(layer.tensors, ones, compute)
                    if how == "exception":
                        raise KeyError("body")
                    if how.startswith("release"):
                        layer.release()
                    break
        except KeyError:
            pass
        if how.startswith("release"):
            before[2] = torch.ones(700, 7)
        iterator = iter(pipe)
        with pytest.raises(StateError):
            layer.release()
        del iterator
        compute.synchronize()
        layer_work.prepare(0, layers)
        for layer in pipe:
            layer_work.compute(0, layer, compute)
        compute.synchronize()
        layer_work.check(0, range(6))
    for index, layer in enumerate(layers):
        assert_same_bytes(layer, before[index], f"host layer {index}")


@case(level=1, needs=PIPE)
@pytest.mark.parametrize("how", ["whole", "break", "exception", "prefetched", "unused"])
def test_closed_while_running(
    backend: Backend, layer_work: LayerWork, gate: Gates, how: str
) -> None:
    """Memory allocated after the pipe is closed is not the memory that its work still uses."""
    layers = layer_work.layers(5, equal=True)
    layer_work.prepare(0, layers)
    compute = backend.streams.create()
    junk = torch.full((200_000,), 3, dtype=torch.uint8, device=backend.device)
    backend.streams.default().synchronize()
    if Capability.STREAM_CALLBACK in backend.capabilities:
        held = gate(compute)
        threading.Timer(0.05, held.open).start()
    pipe = LayerPipeline(backend, layers, 2, stream=compute)
    size, stop = pipe.device_bytes, 3 if how in ("break", "exception") else 5
    done = 0
    with contextlib.suppress(KeyError), pipe:
        if how == "prefetched":
            pipe.prefetch()
        for layer in pipe if how not in ("prefetched", "unused") else ():
            if layer.index == stop:
                if how == "exception":
                    raise KeyError("body")
                break
            layer_work.compute(0, layer, compute)
            done += 1
    # What the allocator hands out now may be the ring's memory: it is written on the stream that
    # the pipe was made on.
    again = torch.empty(size, dtype=torch.uint8, device=backend.device)
    backend.memcpy.copy_async(again, junk[:size])
    compute.synchronize()
    backend.streams.default().synchronize()
    layer_work.check(0, range(done))
    assert_same_bytes(again, junk[:size])
    with pytest.raises(StateError):
        iter(pipe)


@case(level=1, needs=PIPE)
def test_released_early(backend: Backend, layer_work: LayerWork) -> None:
    """After ``release`` the slot goes on to another layer; what was queued before has its bytes."""
    layers = layer_work.layers(7)
    layer_work.prepare(0, layers)
    compute = backend.streams.create()
    with LayerPipeline(backend, layers, 1, stream=compute) as pipe:
        for layer in pipe:
            layer_work.delay(compute)
            layer_work.compute(0, layer, compute)
            layer.release()
            layer.release()
            layer_work.delay(compute)
        compute.synchronize()
    layer_work.check(0, range(7))


@case(level=1, needs=[*PIPE, Capability.EVENT_TIMING])
@pytest.mark.parametrize("mode", ["pipelined", "synchronous"])
def test_report(
    backend: Backend, layer_work: LayerWork, report_property: ReportProperty, mode: str
) -> None:
    """The report's spans are in the order of the work, and its sums are theirs."""
    layers = layer_work.layers(6, equal=True)
    layer_work.prepare(0, layers)
    compute = backend.streams.create()
    synchronous = mode == "synchronous"
    timed = Capability.STREAM_CALLBACK in backend.capabilities
    with LayerPipeline(
        backend, layers, 2, stream=compute, write_back=True, synchronous=synchronous
    ) as pipe:
        with pytest.raises(StateError):
            pipe.report()
        for layer in pipe:
            layer_work.compute(0, layer, compute)
            if timed:
                compute.add_callback(lambda: time.sleep(0.003))
        report = pipe.report()
    slack = 0.01  # milliseconds: clocks of some devices tick no faster
    assert (report.mode, report.complete) == (mode, True)
    # Where the host's memory is copied by the caller, the report says so, and no more than that.
    assert all("pageable memory" in note for note in report.notes), report.notes
    assert [x.index for x in report.layers] == list(range(6))
    last_copy = last_compute = 0.0
    for x in report.layers:
        assert x.nbytes == 700 * 7 * 4
        assert x.submit_ms > 0
        assert x.copy and x.wait and x.compute and x.write_back
        assert last_copy - slack <= x.copy[0] <= x.copy[1] + slack
        assert last_compute - slack <= x.wait[0] <= x.wait[1] + slack
        assert x.copy[1] <= x.wait[1] + slack, "compute went on before the copy was done"
        assert x.wait[1] - slack <= x.compute[0] <= x.compute[1] + slack
        assert x.compute[1] - x.compute[0] >= (2.9 if timed else 0.0) - slack
        assert x.compute[1] <= x.write_back[0] + slack
        assert x.exposed_ms is not None and x.copy_ms is not None
        assert -slack <= x.exposed_ms <= x.copy_ms + slack
        last_copy, last_compute = x.copy[1], x.compute[1]
    assert report.elapsed_ms is not None and report.compute_ms is not None
    assert report.wait_ms is not None and report.copy_ms is not None
    assert report.elapsed_ms + slack >= report.compute_ms + report.wait_ms - 6 * slack
    if synchronous:
        assert report.exposed_ms == pytest.approx(report.copy_ms, abs=6 * slack)
        assert report.elapsed_ms + slack >= report.compute_ms + report.copy_ms
    report_property("submit_us_per_layer", round(report.submit_ms * 1e3 / 6, 2))


@case(level=1, needs=PIPE)
@pytest.mark.parametrize("wrong", ["none", "empty", "ahead", "place", "type", "tensor", "shared"])
def test_refused(backend: Backend, random_tensor: RandomTensor, wrong: str) -> None:
    """Wrong arguments are typed errors that name the layer, and nothing is touched."""
    host = random_tensor((4, 5), torch.float32, device="cpu")
    elsewhere = torch.empty(3, device="meta" if backend.device.type == "cpu" else backend.device)
    calls: dict[str, tuple[type[AccelError], str, object, int, bool]] = {
        "none": (ArgumentError, "layers", [], 2, False),
        "empty": (ArgumentError, "layers[1]", [host, []], 2, False),
        "ahead": (ArgumentError, "ahead", [host], 0, False),
        "place": (DeviceError, "layers[1][0]", [host, (elsewhere,)], 2, False),
        "type": (ArgumentError, "layers[0]['w']", [{"w": 3}], 2, False),
        "tensor": (ArgumentError, "layers", host, 2, False),
        "shared": (OverlapError, "layers[1]", [host, host[2:]], 2, True),
    }
    error, argument, layers, ahead, back = calls[wrong]
    assert issubclass(error, ArgumentError)
    assert_untouched(
        error,
        argument,
        lambda: LayerPipeline(backend, layers, ahead, write_back=back),  # type: ignore[arg-type]
        host,
        settle=backend.streams.synchronize,
    )
