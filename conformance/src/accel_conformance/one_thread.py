"""Torch on one thread, for the suite's own small operations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread", "share_threads"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch's operators on the CPU use the calling thread only; also a decorator.

    The suite's tensors are small, and on a busy machine handing a piece to a second thread costs
    up to fifty times what it saves.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def share_threads(workers: int) -> None:
    """Give torch this process's part of the processors, when ``workers`` processes run cases.

    Each would otherwise start a thread for every processor, and they would wait for one another.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (allowed or 1) // max(1, workers))))
