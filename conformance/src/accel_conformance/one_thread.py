"""Torch on one thread, for the suite's own small operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


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
