"""The entropy coder's host side: on the driver of threads, with its kernels on the host shim."""

from __future__ import annotations

import ctypes
import threading
from types import SimpleNamespace

import pytest
import torch
from cuda_shim import harness

from accel import errors
from accel.kv import encode_bound
from accel_cpu.coding import CpuKVCoding
from accel_cuda import _native

CPU = CpuKVCoding()
NAMES = ("model", "encode", "assemble", "verify", "decode")
RUN = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(ctypes.c_uint), ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p
)
_DEVICE = SimpleNamespace(type="cuda", index=0)


class OnDevice(torch.Tensor):
    """Host memory that says it is the fake device's, where kernels on the shim find it."""

    is_cpu = property(lambda self: False)
    device = property(lambda self: _DEVICE)


def there(tensor):
    return tensor.as_subclass(OnDevice)


class Kernels:
    """Registered with the driver; what one of them found is kept for the test."""

    def __init__(self, driver, folder):
        builder = harness.ShimBuilder(folder)
        self.failures, self.launches, self._kept = [], [], []
        handles, image = {}, _native.load_module(0, b"shim")
        for name in NAMES:
            kernel = f"coding_{name}"
            library = builder.library(f"{kernel}.cu")
            run = RUN(self._runner(library, kernel))
            self._kept.append(run)
            driver._library.accel_fake_kernel(
                kernel.encode(), run, ctypes.c_size_t(library.args_bytes(kernel))
            )
            handles[name] = _native.function(image, kernel, 0)
        self.coder = _native.coding.Coder(0, handles)

    def _runner(self, library, kernel):
        size = library.args_bytes(kernel)

        def run(grid, block, shared, args):
            self.launches.append(kernel)
            try:
                content = ctypes.string_at(args, size)
                library.launch(
                    kernel, content, grid=tuple(grid[:3]), block=block, shared_bytes=shared
                )
            except Exception as failure:  # in the stream's thread: the test raises it
                self.failures.append(failure)

        return run


@pytest.fixture(scope="module")
def kernels(_opened, tmp_path_factory):
    return Kernels(_opened, harness.shared_folder(tmp_path_factory))


@pytest.fixture
def coder(kernels, backend):
    """The native coder; ``backend`` has connected the driver."""
    before = _native.coding.use_exchange_table(False)
    kernels.launches.clear()
    yield kernels.coder
    _native.coding.use_exchange_table(before)
    assert not kernels.failures


def draw(shape, bins, seed=1):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator) * bins / 6 + bins / 2
    return values.clamp(0, bins - 1).to(torch.uint8)


def make_model(coder, symbols, bins, stream, exact=False):
    model = torch.full((symbols.shape[0], symbols.shape[2], bins + 1), -1, dtype=torch.int16)
    coder.entropy_model(there(symbols), there(model), exact, stream)
    return model


def encode(coder, symbols, model, stream, out=None):
    if out is None:
        out = torch.full((encode_bound(symbols.shape),), 0xA5, dtype=torch.uint8)
    scratch = torch.empty(_native.coding.scratch_bytes(*symbols.shape), dtype=torch.uint8)
    used = coder.encode(there(symbols), there(model), there(out), there(scratch), stream)
    assert (out[used:] == 0xA5).all()
    return out[:used]


@pytest.mark.parametrize("bins", [16, 200])
@pytest.mark.parametrize("shape", [(2, 100, 70), (1, 60, 5), (0, 5, 5), (3, 0, 4)], ids=str)
def test_same_bytes(coder, backend, shape, bins):
    stream = backend.streams.create()
    symbols = draw(shape, bins)
    model = make_model(coder, symbols, bins, stream)
    stream.synchronize()
    assert torch.equal(model, CPU.entropy_model(symbols, bins))
    data = encode(coder, symbols, model, stream)
    assert torch.equal(data, CPU.encode(symbols, model))
    out = torch.full(shape, 0x5A, dtype=torch.uint8)
    coder.decode(there(data.clone()), there(model), there(out), stream)
    stream.synchronize()
    assert torch.equal(out, symbols)


def test_late_errors(coder, backend):
    """What the kernels find is raised by the next synchronisation, once, in the CPU's words."""
    stream = backend.streams.create()
    symbols = draw((2, 90, 70), 16)
    model = CPU.entropy_model(symbols, 16)
    data = CPU.encode(symbols, model)
    for at, value in ((0, 7), (4, 9), (9, 1), (66, 1), (len(data) - 1, 0x55)):
        damaged = data.clone()
        damaged[at] ^= value
        out = torch.full_like(symbols, 0x5A)
        with pytest.raises(errors.CodecError) as said:
            CPU.decode(damaged, model, out)
        coder.decode(there(damaged), there(model), there(out), stream)
        with pytest.raises(errors.AsyncError) as caught:
            stream.synchronize()
        assert type(caught.value.__cause__) is errors.CodecError
        assert str(caught.value.__cause__) == str(said.value)
        assert (out == 0x5A).all()
        stream.synchronize()
    for size in (0, 63, 100, len(data) - 4):
        coder.decode(there(data[:size].clone()), there(model), there(symbols.clone()), stream)
        with pytest.raises(errors.AsyncError) as caught:
            stream.synchronize()
        assert isinstance(caught.value.__cause__, errors.CodecError)
    coder.decode(there(data), there(model), there(symbols[:, 1:].clone()), stream)
    with pytest.raises(errors.AsyncError) as caught:
        stream.synchronize()
    assert isinstance(caught.value.__cause__, errors.ShapeError)
    assert "[2, 90, 70]" in str(caught.value.__cause__)
    symbols[1, 3, 33] = 16
    make_model(coder, symbols, 16, stream)
    with pytest.raises(errors.AsyncError) as caught:
        stream.synchronize()
    with pytest.raises(errors.ArgumentError) as said:
        CPU.entropy_model(symbols, 16)
    assert str(caught.value.__cause__) == str(said.value)


def test_encode_says_what_is_wrong(coder, backend):
    stream = backend.streams.create()
    symbols = draw((2, 90, 70), 12)
    model = CPU.entropy_model(symbols, 16, exact=True)
    outside, unseen, falls = symbols.clone(), symbols.clone(), model.clone()
    outside[1, 3, 33] = 16
    unseen[0, 89, 2] = 15
    falls[1, 7, 5] = -1
    for bad, with_model in ((outside, model), (unseen, model), (symbols, falls)):
        out = torch.full((encode_bound(symbols.shape),), 0xA5, dtype=torch.uint8)
        with pytest.raises(errors.AccelError) as said:
            CPU.encode(bad, with_model)
        with pytest.raises(type(said.value)) as caught:
            encode(coder, bad, with_model, stream, out)
        assert str(caught.value) == str(said.value)
        assert (out == 0xA5).all()
    assert torch.equal(encode(coder, symbols, model, stream), CPU.encode(symbols, model))


def test_operands_of_other_devices(coder, backend):
    stream = backend.streams.create()
    symbols = draw((1, 9, 9), 4)
    model = CPU.entropy_model(symbols, 4)
    with pytest.raises(errors.DeviceError, match="symbols: expected a tensor on device 0"):
        coder.entropy_model(symbols, there(model), False, stream)
    with pytest.raises(errors.DeviceError, match="data"):
        coder.decode(CPU.encode(symbols, model), there(model), there(symbols), stream)
    with pytest.raises(errors.SizeError, match="out"):
        encode(coder, symbols, model, stream, torch.zeros(9, dtype=torch.uint8))


def test_encode_waits_for_its_stream(coder, backend):
    stream = backend.streams.create()
    late = draw((2, 90, 70), 16)
    model = CPU.entropy_model(late, 16)
    symbols = torch.zeros_like(late)
    stream.add_callback(lambda: symbols.copy_(late))
    assert torch.equal(encode(coder, symbols, model, stream), CPU.encode(late, model))


def test_threads_share_a_stream(coder, backend):
    """Calls from several threads on one stream do not meet in the memory that they share."""
    stream, failed = backend.streams.create(), []

    def work(seed):
        symbols = draw((1, 40, 40), 16, seed)
        model = CPU.entropy_model(symbols, 16)
        for _ in range(3):
            if not torch.equal(encode(coder, symbols, model, stream), CPU.encode(symbols, model)):
                failed.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_capture(coder, backend):
    """Models and decoding go into graphs, each with memory of its own; encoding is refused."""
    stream = backend.streams.create()
    symbols = draw((1, 50, 40), 16)
    model = CPU.entropy_model(symbols, 16)
    data, out = CPU.encode(symbols, model), torch.zeros_like(symbols)
    with backend.streams.capture(stream) as graph:
        made = make_model(coder, symbols, 16, stream)
        coder.decode(there(data), there(model), there(out), stream)
        with pytest.raises(errors.StateError, match="cannot be captured"):
            encode(coder, symbols, model, stream)
    assert (out == 0).all()
    for _ in range(2):
        out.zero_()
        graph.replay(stream)
        stream.synchronize()
        assert torch.equal(out, symbols)
        assert torch.equal(made, model)


def test_a_failed_launch_leaves_the_coder_usable(coder, backend, driver):
    stream = backend.streams.create()
    symbols = draw((1, 50, 40), 16)
    model = CPU.entropy_model(symbols, 16)
    driver.fail("cuLaunchKernel", 719 - 18, skip=1)
    with pytest.raises(errors.AccelError):
        encode(coder, symbols, model, stream)
    assert torch.equal(encode(coder, symbols, model, stream), CPU.encode(symbols, model))
