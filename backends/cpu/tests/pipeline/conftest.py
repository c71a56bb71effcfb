"""What the pipeline tests share: the backend, and compute of a fixed length."""

from __future__ import annotations

import time

import pytest
import torch

import accel


@pytest.fixture(autouse=True)
def _one_thread():
    """OpenMP's threads go on spinning after an operator, and wait for one another when cores are
    short: neither belongs in what is measured here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cpu():
    return accel.get_backend("cpu")


@pytest.fixture
def busy():
    """``busy(stream, seconds)``: work of that length on the stream, which takes no core."""

    def queue(stream, seconds):
        stream.add_callback(lambda: time.sleep(seconds))

    return queue


@pytest.fixture
def slow_copies(cpu, monkeypatch):
    """``slow_copies(seconds)``: every copy takes that much longer, whatever the machine does."""

    def make(seconds):
        real = cpu.memcpy.copy_async

        def copy_async(dst, src, stream=None):
            stream.add_callback(lambda: time.sleep(seconds))
            real(dst, src, stream)

        monkeypatch.setattr(cpu.memcpy, "copy_async", copy_async)

    return make
