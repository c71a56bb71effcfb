"""Take one fence out of the pipeline and some stream's delay brings wrong bytes; with it, none."""

from __future__ import annotations

import time

import pytest
import torch

from accel import LayerPipeline
from accel.pipeline.lanes import Lanes
from accel.pipeline.passes import Pass

LAYERS, PASSES, SIZE = 5, 3, 4096


def program(cpu, late):
    """Passes that read and rewrite every layer, with one of the streams always late.

    Returns what is wrong: compute adds one to every byte, and copies out what it found.
    """
    layers = [torch.full((SIZE,), 10 * i, dtype=torch.uint8) for i in range(LAYERS)]
    found = torch.zeros((PASSES, LAYERS, SIZE), dtype=torch.uint8)
    scratch = torch.zeros(SIZE, dtype=torch.uint8)
    compute = cpu.streams.create()
    wrong = []
    with LayerPipeline(cpu, layers, 1, stream=compute, write_back=True) as pipe:
        delayed = {"compute": compute, "copy": pipe.copy_stream, "back": pipe._lanes.back}[late]
        for number in range(PASSES):
            for layer in pipe:
                delayed.add_callback(lambda: time.sleep(0.004))
                cpu.memcpy.copy_async(found[number, layer.index], layer.tensors, compute)
                cpu.memcpy.copy_async(scratch, layer.tensors, compute)
                compute.add_callback(lambda: scratch.add_(1))
                cpu.memcpy.copy_async(layer.tensors, scratch, compute)
        compute.synchronize()
        for i, layer in enumerate(layers):
            if not torch.equal(layer, torch.full_like(layer, 10 * i + PASSES)):
                wrong.append(f"host layer {i} is {layer[0]}")
        cpu.streams.synchronize()  # what is still under way must not meet the next program
    for number in range(PASSES):
        for i in range(LAYERS):
            if not bool((found[number, i] == 10 * i + number).all()):
                wrong.append(f"pass {number} found {found[number, i, 0]} in layer {i}")
    return wrong


def without_ready(cpu, monkeypatch):
    real = Lanes.fetch

    def fetch(self, index, marks):
        slot = real(self, index, marks)
        slot.ready = cpu.events.create()
        return slot

    monkeypatch.setattr(Lanes, "fetch", fetch)


def without_free(cpu, monkeypatch):
    """The slot is free as soon as the layer was copied in."""
    real = Lanes.fetch

    def fetch(self, index, marks):
        self.ring.next().free = cpu.events.create()
        return real(self, index, marks)

    monkeypatch.setattr(Lanes, "fetch", fetch)


def without_waiting_for_compute_before_write_back(cpu, monkeypatch):
    real = Lanes.write_back

    def write_back(self, index, slot, marks):
        slot.free = cpu.events.create()
        real(self, index, slot, marks)

    monkeypatch.setattr(Lanes, "write_back", write_back)


def without_waiting_for_write_back(cpu, monkeypatch):
    """The slot is free when compute is done with it, though it is still being copied back."""
    real, leave = Lanes.write_back, Pass._leave
    computes = []

    def note(self, index, slot):
        leave(self, index, slot)
        computes.append(self._stream)

    def write_back(self, index, slot, marks):
        real(self, index, slot, marks)
        slot.free = computes[-1].record_event()

    monkeypatch.setattr(Pass, "_leave", note)
    monkeypatch.setattr(Lanes, "write_back", write_back)


def without_reading_what_was_written(cpu, monkeypatch):
    real = Lanes.write_back

    def write_back(self, index, slot, marks):
        real(self, index, slot, marks)
        self._written[index] = cpu.events.create()

    monkeypatch.setattr(Lanes, "write_back", write_back)
    # The end of a pass would order it as well.
    monkeypatch.setattr(Lanes, "join", lambda self, stream: None)


def without_join(cpu, monkeypatch):
    monkeypatch.setattr(Lanes, "join", lambda self, stream: None)


@pytest.mark.parametrize("late", ["compute", "copy", "back"])
def test_sound(cpu, late):
    assert program(cpu, late) == []


@pytest.mark.parametrize(
    ("remove", "late"),
    [
        (without_ready, "copy"),
        (without_free, "compute"),
        (without_waiting_for_compute_before_write_back, "compute"),
        (without_waiting_for_write_back, "back"),
        (without_reading_what_was_written, "back"),
        (without_join, "back"),
    ],
)
def test_each_fence_is_needed(cpu, monkeypatch, remove, late):
    remove(cpu, monkeypatch)
    assert program(cpu, late) != []


@pytest.mark.parametrize("follow", [True, False])
def test_copies_follow_what_compute_was_given_before(cpu, monkeypatch, follow):
    """The compute stream writes the host's layers, late, before the loop reads them."""
    if not follow:
        monkeypatch.setattr(Lanes, "follow", lambda self, stream: None)
    layers = [torch.zeros(SIZE, dtype=torch.uint8) for _ in range(LAYERS)]
    new = torch.full((SIZE,), 9, dtype=torch.uint8)
    found = torch.zeros((LAYERS, SIZE), dtype=torch.uint8)
    compute = cpu.streams.create()
    with LayerPipeline(cpu, layers, stream=compute) as pipe:
        compute.add_callback(lambda: time.sleep(0.03))
        for layer in layers:
            cpu.memcpy.copy_async(layer, new, compute)
        for layer in pipe:
            cpu.memcpy.copy_async(found[layer.index], layer.tensors, compute)
        compute.synchronize()
    assert bool((found == 9).all()) == follow
