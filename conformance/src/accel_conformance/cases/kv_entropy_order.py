"""Entropy coding in stream order: on what is there when its turn comes, with its operands kept."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import pytest
import torch

from accel import ArgumentError, AsyncError, Backend, Capability
from accel.errors import CodecError
from accel_conformance import codec_expected
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.codec_expected import pull
from accel_conformance.codec_work import Codec, codec_work
from accel_conformance.gates import Gates

codec = codec_work

ORDER = [Capability.KV_ENTROPY, Capability.STREAMS, Capability.COPY]
SHAPE = (2, 120, 70)
BINS = 20


@case(level=2, needs=ORDER)
@pytest.mark.parametrize("strided", [False, True], ids=["dense", "strided"])
def test_entropy_models_in_order(
    codec: Codec, backend: Backend, gate: Gates, strided: bool
) -> None:
    """A model is of the symbols that a copy ahead of it brought, not of what is copied after it."""
    before, now, after = (codec.put(codec.draw(SHAPE, BINS, "by-channel")) for _ in range(3))
    view = before.transpose(1, 2) if strided else before
    wanted = codec_expected.model_of(pull(now.transpose(1, 2) if strided else now), BINS)
    stream = backend.streams.create()
    with gate(stream):
        backend.memcpy.copy_async(before, now, stream)
        model = codec.kv.entropy_model(view, BINS, stream=stream)
        backend.memcpy.copy_async(before, after, stream)
    stream.synchronize()
    codec.check_model(model, wanted)


@case(level=2, needs=ORDER)
def test_entropy_encodes_in_order(codec: Codec, backend: Backend, gate: Gates) -> None:
    """``encode`` waits for what its stream has yet to do, and returns when it is done."""
    symbols, now = (codec.put(codec.draw(SHAPE, BINS)) for _ in range(2))
    model = codec.model(now, BINS)
    wanted = codec_expected.encode(pull(now), pull(model))
    stream = backend.streams.create()
    for _ in range(4):
        held = gate(stream)
        backend.memcpy.copy_async(symbols, now, stream)
        threading.Timer(0.1, held.open).start()  # encode waits for its own work
        data = codec.kv.encode(symbols, model, stream=stream)
        codec.check_bytes(bytes(data.tolist()), wanted)
        symbols.zero_()
        codec.settle()


@case(level=2, needs=ORDER)
def test_entropy_decodes_in_order(codec: Codec, backend: Backend, gate: Gates) -> None:
    """Behind a copy that brings the data, and ahead of one that reads the symbols."""
    host = codec.draw(SHAPE, BINS)
    model = codec_expected.model_of(pull(host), BINS)
    now = codec.put_bytes(codec_expected.encode(pull(host), model))
    there, data = codec.put_model(model), torch.zeros_like(now)
    out, result = codec.guarded(SHAPE), codec.guarded(SHAPE)
    stream = backend.streams.create()
    with gate(stream):
        backend.memcpy.copy_async(data, now, stream)
        codec.kv.decode(data, there, out, stream=stream)
        backend.memcpy.copy_async(result, out, stream)
        backend.memcpy.fill(out, 0, stream)
        backend.memcpy.fill(data, 0, stream)
    stream.synchronize()
    assert_same_bytes(result, host, "decoded symbols")


@case(level=2, needs=ORDER)
def test_entropy_keeps_its_operands(codec: Codec, backend: Backend, gate: Gates) -> None:
    """Tensors dropped while the work is queued are not reused before it ran."""
    host = codec.draw(SHAPE, BINS)
    model = codec_expected.model_of(pull(host), BINS)
    symbols = host.to(backend.device, copy=True)
    encoded = torch.frombuffer(
        bytearray(codec_expected.encode(pull(host), model)), dtype=torch.uint8
    )
    data = encoded.to(backend.device, copy=True)
    there = codec.put_model(model).clone()
    sizes = [t.numel() * t.element_size() for t in (symbols, data, there)]
    out = codec.guarded(SHAPE)
    stream = backend.streams.create()
    with gate(stream):
        made = codec.kv.entropy_model(symbols, BINS, stream=stream)
        codec.kv.decode(data, there, out, stream=stream)
        del symbols, data, there
        gc.collect()
        # Whoever allocates now must not get memory that queued work still reads.
        scribble = [
            torch.full((n,), 1, dtype=torch.uint8, device=backend.device)
            for n in sizes
            for _ in range(4)
        ]
    stream.synchronize()
    codec.check_model(made, model)
    assert_same_bytes(out, host, "decoded symbols")
    del scribble


@case(level=2, needs=ORDER)
@pytest.mark.parametrize("which", ["default", "created"])
def test_entropy_current_stream(codec: Codec, backend: Backend, which: str) -> None:
    """Without a stream calls go to the current one, between eager torch operations."""
    now = codec.put(codec.draw(SHAPE, BINS))
    symbols, out = torch.zeros_like(now), codec.guarded(SHAPE)
    codec.settle()
    streams = backend.streams
    stream = streams.default() if which == "default" else streams.create()
    with backend.stream(stream):
        symbols.copy_(now)
        model = codec.kv.entropy_model(symbols, BINS)
        data = codec.kv.encode(symbols, model)
        symbols.zero_()
        codec.kv.decode(data, model, out)
        result = out.clone()
        out.zero_()
    stream.synchronize()
    codec.check_model(model, codec_expected.model_of(pull(now), BINS))
    assert_same_bytes(result, now, "decoded symbols")


@case(level=2, needs=ORDER)
def test_entropy_late_errors(codec: Codec, backend: Backend) -> None:
    """What only the stream can find is raised by the call or the next synchronisation, once."""
    symbols = codec.put(codec.draw(SHAPE, BINS))
    model = codec.model(symbols, BINS)
    good = codec.put_bytes(codec.encode(symbols, model))
    data = good.clone()
    data[-1] ^= 1
    out = codec.guarded(SHAPE)
    before = out.clone()
    codec.settle()
    stream = backend.streams.create()
    for call, error in (
        (lambda: codec.kv.decode(data, model, out, stream=stream), CodecError),
        (lambda: codec.kv.entropy_model(symbols, 3, stream=stream), ArgumentError),
    ):

        def call_and_wait(call: Callable[[], object] = call) -> None:
            call()
            stream.synchronize()

        with pytest.raises((AsyncError, error)) as caught:
            call_and_wait()
        found = caught.value
        if isinstance(found, AsyncError):
            assert isinstance(found.__cause__, error), f"the cause is {found.__cause__!r}"
        stream.synchronize()
    assert_same_bytes(out, before, "the output of refused data")
    codec.kv.decode(good, model, out, stream=stream)
    stream.synchronize()
    assert_same_bytes(out, symbols, "decoded symbols")
