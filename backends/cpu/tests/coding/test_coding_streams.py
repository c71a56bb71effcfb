"""Coding on streams: queued in order, operands kept, errors kept for the next synchronisation."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

import accel
from accel import errors
from accel.kv import encode_bound


@pytest.fixture(scope="module")
def backend():
    return accel.get_backend("cpu")


@pytest.fixture
def held(backend):
    """A stream that does not go on before its event is set."""
    stream, go = backend.streams.create(), threading.Event()
    stream.add_callback(go.wait)
    yield stream, go
    go.set()
    stream.synchronize()


def some_symbols(shape=(2, 90, 70), bins=16):
    return torch.randint(bins, shape, dtype=torch.uint8)


@pytest.mark.parametrize("strided", [False, True])
def test_models_are_queued(backend, held, strided):
    """The call returns at once, reads what is there when its turn comes, and keeps its operands."""
    stream, go = held
    base = torch.zeros(2, 90, 70, dtype=torch.uint8)
    symbols = base.transpose(1, 2) if strided else base
    late = some_symbols()
    stream.add_callback(lambda: base.copy_(late))
    model = backend.kv.entropy_model(symbols, 16, stream=stream)
    expected = backend.kv.entropy_model(late.transpose(1, 2) if strided else late, 16)
    del symbols
    gc.collect()
    go.set()
    stream.synchronize()
    assert torch.equal(model, expected)


def test_decoding_is_queued(backend, held):
    stream, go = held
    symbols = some_symbols()
    model = backend.kv.entropy_model(symbols, 16)
    data = backend.kv.encode(symbols, model)
    late, data = data, torch.zeros_like(data)
    stream.add_callback(lambda: data.copy_(late))
    out = torch.full_like(symbols, 0x5A)
    backend.kv.decode(data, model.transpose(0, 1).contiguous().transpose(0, 1), out, stream=stream)
    assert (out == 0x5A).all()
    go.set()
    stream.synchronize()
    assert torch.equal(out, symbols)


def test_encoding_waits_for_its_stream(backend):
    stream = backend.streams.create()
    symbols = torch.zeros(2, 90, 70, dtype=torch.uint8)
    late = some_symbols()
    model = backend.kv.entropy_model(late, 16)
    stream.add_callback(lambda: symbols.copy_(late))
    data = backend.kv.encode(symbols, model, stream=stream)
    assert torch.equal(data, backend.kv.encode(late, model))


def test_late_errors(backend):
    """What only the stream can find out is raised by the next synchronisation, the cause within."""
    stream = backend.streams.create()
    symbols = some_symbols()
    model = backend.kv.entropy_model(symbols, 16)
    data = backend.kv.encode(symbols, model)
    data[-1] ^= 1
    out = torch.full_like(symbols, 0x5A)
    backend.kv.decode(data, model, out, stream=stream)
    with pytest.raises(errors.AsyncError) as caught:
        stream.synchronize()
    assert isinstance(caught.value.__cause__, errors.CodecError)
    assert (out == 0x5A).all()
    backend.kv.entropy_model(symbols, 3, stream=stream)
    with pytest.raises(errors.AsyncError) as caught:
        stream.synchronize()
    assert isinstance(caught.value.__cause__, errors.ArgumentError)
    stream.synchronize()  # said once


def test_many_threads(backend):
    """Calls from several threads at a time do not meet."""
    failed = []

    def work(seed):
        random = torch.Generator().manual_seed(seed)
        for _ in range(20):
            symbols = torch.randint(32, (2, 300, 96), generator=random, dtype=torch.uint8)
            model = backend.kv.entropy_model(symbols, 32)
            out = torch.empty(encode_bound(symbols.shape), dtype=torch.uint8)
            data = backend.kv.encode(symbols, model, out=out)
            back = torch.empty_like(symbols)
            backend.kv.decode(data, model, back)
            if not torch.equal(back, symbols):
                failed.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
