"""A backend of plain torch whose streams run nothing until they are waited for.

Whoever times or checks without waiting sees poison. Defects are put in by replacing its methods.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from time import perf_counter

import pytest
import torch

import accel
from accel import Backend, BackendInfo, Capabilities, Capability, Level, Probe
from accel.devices import DeviceSpec
from accel.providers import Events, KVKernels, Memcpy, MemRef, PinnedMemory, Streams


class LazyStream:
    """Keeps its work until somebody waits."""

    def __init__(self):
        self.queue = []

    def push(self, work):
        self.queue.append(work)

    def synchronize(self):
        while self.queue:
            self.queue.pop(0)()

    def record_event(self, event):
        event.record(self)

    def wait_event(self, event):
        recorded = event.recorded
        self.push(lambda: recorded and recorded.synchronize())


class LazyStreams(Streams):
    def __init__(self):
        self.main = LazyStream()

    def current(self):
        return self.main

    def create(self, priority=0):
        return LazyStream()

    @contextmanager
    def use(self, stream):
        yield stream


class TimedEvent:
    def __init__(self, stream):
        self.stream, self.at, self.recorded = stream, None, None

    def record(self, stream=None):
        self.recorded = stream or self.stream
        self.recorded.push(self._note)

    def _note(self):
        self.at = perf_counter()

    def synchronize(self):
        self.stream.synchronize()

    def elapsed_time(self, end):
        return (end.at - self.at) * 1e3


class TimedEvents(Events):
    def __init__(self, streams):
        self.streams = streams

    def create(self, *, timing=False, interprocess=False):
        return TimedEvent(self.streams.main)


class PlainPinned(PinnedMemory):
    def empty(self, shape, dtype=None, *, numa_node=None, huge_pages=False):
        return torch.empty(shape, dtype=dtype)


def as_tensor(operand):
    return operand.owner if isinstance(operand, MemRef) else operand


class LazyMemcpy(Memcpy):
    def __init__(self, streams):
        self.streams = streams

    def _push(self, stream, work):
        (stream or self.streams.main).push(work)

    def copy(self, dst, src, stream=None):
        self.copy_async(dst, src, stream)
        (stream or self.streams.main).synchronize()

    def copy_async(self, dst, src, stream=None):
        self._push(stream, lambda: as_tensor(dst).copy_(as_tensor(src)))

    def copy_batch(self, dsts, srcs, stream=None):
        self._push(stream, lambda: [d.copy_(s) for d, s in zip(dsts, srcs, strict=True)])

    def copy_2d(self, dst, src, *, width, height, dst_pitch, src_pitch, stream=None):
        into = dst.view(-1).as_strided((height, width), (dst_pitch, 1))
        out_of = src.view(-1).as_strided((height, width), (src_pitch, 1))
        self._push(stream, lambda: into.copy_(out_of))

    def fill(self, dst, value, stream=None):
        self._push(stream, lambda: dst.fill_(value))


def quantized(x, dtype):
    if dtype == torch.int8:
        return x.round().clamp(-128, 127).to(dtype)
    return x.clamp(-torch.finfo(dtype).max, torch.finfo(dtype).max).to(dtype)


class LazyKV(KVKernels):
    def __init__(self, streams):
        self.streams = streams

    def transfer(self, src, dst, src_slots, dst_slots, *, grain="token", stream=None):
        def work():
            for layer in range(src.layers):
                for plane in range(src.planes):
                    self._move(
                        src.view(layer, plane), dst.view(layer, plane), src_slots, dst_slots, grain
                    )

        (stream or self.streams.main).push(work)

    @staticmethod
    def _move(src, dst, src_units, dst_units, grain):
        if grain == "block":
            dst[dst_units] = src[src_units]
            return
        sizes = src.shape[1], dst.shape[1]
        taken = src[src_units // sizes[0], src_units % sizes[0]]
        dst[dst_units // sizes[1], dst_units % sizes[1]] = taken

    def write(
        self, cache, layer, key, value, slot_mapping, *, key_scale=None, value_scale=None,
        stream=None,
    ):  # fmt: skip
        def work():
            scales = (key_scale, value_scale)
            for plane, new in enumerate([key] if value is None else [key, value]):
                view, size = cache.view(layer, plane), cache.block_size
                if scales[plane] is not None:
                    scale = torch.as_tensor(scales[plane])
                    scale = scale.unsqueeze(-1) if scale.dim() else scale
                    new = quantized(new.float() / scale, view.dtype).view(torch.uint8)
                    view = view.view(torch.uint8)
                    new = new.reshape(len(new), *view.shape[2:])
                view[slot_mapping // size, slot_mapping % size] = new

        (stream or self.streams.main).push(work)

    def convert(self, src, dst, *, src_scale=None, dst_scale=None, stream=None):
        def work():
            for layer, plane in itertools.product(range(src.layers), range(src.planes)):
                out, x = dst.view(layer, plane), src.view(layer, plane).float()
                x = x if src_scale is None else x * src_scale
                out.copy_(x if dst_scale is None else quantized(x / dst_scale, out.dtype))

        (stream or self.streams.main).push(work)

    def copy_blocks(self, cache, block_mapping, *, stream=None):
        self.transfer(
            cache, cache, block_mapping[:, 0], block_mapping[:, 1], grain="block", stream=stream
        )

    def swap_blocks(self, src, dst, block_mapping, *, stream=None):
        self.transfer(
            src, dst, block_mapping[:, 0], block_mapping[:, 1], grain="block", stream=stream
        )

    def gather(self, src, dst, block_table, seq_lens, *, seq_starts=None, stream=None):
        slots = []
        for row, length in zip(block_table.tolist(), seq_lens.tolist(), strict=True):
            slots += [row[j // src.block_size] * src.block_size + j % src.block_size
                      for j in range(length)]  # fmt: skip
        found = torch.tensor(slots)
        self.transfer(src, dst, found, torch.arange(len(found)), stream=stream)

    def entropy_model(self, symbols, bins, *, exact=False, stream=None):
        model = torch.empty(symbols.shape[0], symbols.shape[2], bins + 1, dtype=torch.int16)

        def work():
            counts = torch.stack([(symbols == b).sum(1) for b in range(bins)], -1)
            unused = (counts == 0).long()
            shared = 16384 - unused.sum(-1, keepdim=True)
            model[..., 0] = 0
            model[..., 1:] = counts.cumsum(-1) * shared // symbols.shape[1] + unused.cumsum(-1)

        (stream or self.streams.main).push(work)
        return model

    def encode(self, symbols, model, *, out=None, stream=None):
        """As they are: nothing here looks into the data."""
        (stream or self.streams.main).synchronize()
        out = torch.empty(symbols.numel(), dtype=torch.uint8) if out is None else out
        out[: symbols.numel()] = symbols.flatten()
        return out[: symbols.numel()]

    def decode(self, data, model, out, *, stream=None):
        (stream or self.streams.main).push(lambda: out.copy_(data.view(out.shape)))


def lazily(name):
    """The reference's method of this name, run when the stream gets there."""
    good = getattr(accel.get_backend("cpu-reference").kv, name)

    def method(self, *args, stream=None, **options):
        (stream or self.streams.main).push(lambda: good(*args, **options))

    return method


for _name in ("upload_small", "rope_reposition", "quantize", "dequantize"):
    setattr(LazyKV, _name, lazily(_name))


def make_backend(*, without=(), simulated=False, name="lazy"):
    info = BackendInfo(name, "cpu", accel.HOOKSPEC_VERSION)
    probe = Probe(True, "made for a test", device_count=1, simulated=simulated)
    backend = Backend(info, probe, DeviceSpec("cpu"), "accel-lazy", "1.2.3")
    backend.streams = LazyStreams()
    backend.events = TimedEvents(backend.streams)
    backend.pinned = PlainPinned()
    backend.memcpy = LazyMemcpy(backend.streams)
    backend.kv = LazyKV(backend.streams)
    kept = [c for c in Capability if c not in without]
    backend.capabilities = Capabilities(dict.fromkeys(kept, Level.COMPOSED))
    return backend


@pytest.fixture(autouse=True)
def one_torch_thread():
    """Beside other busy processes OpenMP's threads wait for one another for milliseconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def lazy_backend():
    """``lazy_backend(without=..., simulated=...)`` makes one."""
    return make_backend


@pytest.fixture
def picture():
    """Reads a PNG: its height and width, and the colours in it as ``#rrggbb``."""
    from matplotlib.image import imread

    def read(file):
        dots = (imread(file)[:, :, :3] * 255).round().astype("uint32")
        numbers = set((dots[..., 0] << 16 | dots[..., 1] << 8 | dots[..., 2]).flat)
        return dots.shape[:2], {f"#{number:06x}" for number in numbers}

    return read
