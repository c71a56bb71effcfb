"""Workers share the processors: torch's threads in a run with ``-n``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from accel_conformance.one_thread import one_thread, share_threads


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("processors", "workers", "before", "after"),
    [(16, 12, 16, 1), (16, 4, 16, 4), (16, 1, 16, 16), (2, 4, 2, 1), (16, 2, 3, 3), (8, 0, 8, 8)],
)
def test_each_worker_has_its_part(monkeypatch, processors, workers, before, after):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)), raising=False)
    torch.set_num_threads(before)
    share_threads(workers)
    assert torch.get_num_threads() == after


def test_one_thread_is_undone():
    torch.set_num_threads(3)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
