"""Random pipelines against plain arithmetic: every byte of every layer, in every pass."""

from __future__ import annotations

import random
import time

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel import LayerPipeline

DTYPES = (torch.uint8, torch.int16, torch.float32, torch.bfloat16, torch.float8_e4m3fn)
TENSORS = st.tuples(st.lists(st.integers(0, 40), max_size=3), st.sampled_from(DTYPES))
ENDS = st.sampled_from(["whole", "whole", "break", "exception", "release", "prefetch"])


def random_tensor(shape, dtype, generator):
    count = torch.Size(shape).numel() * dtype.itemsize
    raw = torch.randint(0, 256, (count,), dtype=torch.uint8, generator=generator)
    return raw.view(dtype).reshape(shape)


def raw(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


class Program:
    """Compute that inverts every byte of a layer, and a host model of what that leaves."""

    def __init__(self, cpu, dice, layers, **options):
        self.cpu, self.dice, self.layers = cpu, dice, layers
        self.compute = cpu.streams.create(priority=dice.choice((0, -2)))
        self.back = options["write_back"]
        self.model = [[raw(t).clone() for t in layer] for layer in layers]
        self.checks = []
        self.options = options

    def open(self):
        return LayerPipeline(self.cpu, self.layers, stream=self.compute, **self.options)

    def delay(self, stream):
        if self.dice.random() < 0.2:
            seconds = self.dice.random() * 1e-3
            stream.add_callback(lambda: time.sleep(seconds))

    def one_pass(self, pipe, end):
        stop = self.dice.randrange(len(self.layers)) if end in ("break", "exception") else None
        for layer in pipe:
            self.delay(self.compute)
            self.delay(pipe.copy_stream)
            for tensor, model in zip(layer.tensors, self.model[layer.index], strict=True):
                self.work(raw(tensor), model)
            if layer.index == stop:
                if end == "exception":
                    raise KeyError("body")
                return
            if self.back:
                self.model[layer.index] = [~m for m in self.model[layer.index]]
            if end == "release":
                layer.release()
        if end == "prefetch" and not self.options["synchronous"]:
            pipe.prefetch()

    def work(self, flat, model):
        out = torch.empty_like(flat)
        self.cpu.memcpy.copy_async(out, flat, self.compute)
        self.compute.add_callback(lambda: torch.bitwise_not(flat, out=flat))
        self.checks.append((out, model))

    def check(self):
        """After ``compute`` is synchronised and the pipe is closed, or the pass is over."""
        for out, model in self.checks:
            assert torch.equal(out, model)
        self.checks.clear()
        for layer, model in zip(self.layers, self.model, strict=True):
            for tensor, expected in zip(layer, model, strict=True):
                assert torch.equal(raw(tensor), expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(TENSORS, min_size=1, max_size=3), min_size=1, max_size=7),
    st.integers(1, 8),
    st.lists(ENDS, min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_random_pipelines(shapes, ahead, ends, write_back, synchronous, seed):
    cpu = accel.get_backend("cpu")
    generator = torch.Generator().manual_seed(seed)
    layers = [[random_tensor(s, d, generator) for s, d in layer] for layer in shapes]
    program = Program(
        cpu, random.Random(seed), layers,
        ahead=ahead, write_back=write_back, synchronous=synchronous,
    )  # fmt: skip
    with program.open() as pipe:
        for end in ends:
            try:
                program.one_pass(pipe, end)
            except KeyError:
                assert end == "exception"
    program.compute.synchronize()
    program.check()
    report = pipe.report()
    assert report.mode == ("synchronous" if synchronous else "pipelined")
    assert 0 < len(report.layers) <= len(layers)
    assert report.hidden is None or 0.0 <= report.hidden <= 1.0
