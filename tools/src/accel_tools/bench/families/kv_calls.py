"""Calls the size of a decoding step, where the host's time is what counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..kv_setting import KVSetting
from ..site import Site
from ..workload import Workload
from .kv_transfers import Side, transfer

__all__ = ["decode_calls"]


def decode_calls(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """1, 16 and 64 tokens between paged and contiguous: host time of the call."""
    del site
    paged = Side(setting.shape.paged_layout)
    contiguous = Side("contiguous", scattered=False)
    for tokens in (1, 16, 64):
        few = replace(setting, tokens=tokens)
        what = "call: paged to contiguous"
        yield transfer(what, few, paged, contiguous, "token", submission=True)
        what = "call: contiguous to paged"
        yield transfer(what, few, contiguous, paged, "token", submission=True)
