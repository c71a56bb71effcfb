"""Transfers between the layouts of different engines, and from pages of one token."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import TYPE_CHECKING

from accel.kv import PRESETS

from ..kv_setting import KVSetting
from ..site import Site
from ..workload import Workload
from .kv_transfers import Side, transfer

if TYPE_CHECKING:
    from accel.kv.plan import Grain

__all__ = ["block_size_one", "every_pair", "layout_pairs"]

#: What the engine's own paged cache is moved to.
PAIRS = {
    "NHD to HND": "vllm_hnd",
    "NHD to page-first": "sglang_page_first",
    "paged to page-head": "sglang_page_head",
}


def layout_pairs(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """From the shape's paged layout to :data:`PAIRS`, and to and from ``setting.layouts``."""
    del site
    own = Side(setting.shape.paged_layout)
    grains: tuple[Grain, ...] = ("token", "block")
    for what, layout in PAIRS.items():
        for grain in grains:
            yield transfer(f"{what}, {grain} grain", setting, own, Side(layout), grain)
    for layout in setting.layouts:
        other = Side(layout)
        for grain in grains:
            there, back = f"{own.layout} to {layout}", f"{layout} to {own.layout}"
            yield transfer(f"{there}, {grain} grain", setting, own, other, grain)
            yield transfer(f"{back}, {grain} grain", setting, other, own, grain)


def every_pair(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Between all layouts that engines have, each to each, token by token."""
    del site
    layouts: dict[str, str] = {}
    for name, letters in PRESETS.items():
        if ("K" in letters) == (setting.shape.planes == 2) and letters not in layouts.values():
            layouts[name] = letters
    for src, dst in permutations(layouts, 2):
        there, back = (Side(name, scattered="B" in layouts[name]) for name in (src, dst))
        yield transfer(f"{src} to {dst}", setting, there, back, "token")


def block_size_one(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Every token is its own block: the paging of SGLang's default."""
    del site
    single = setting.with_block_size(1)
    paged, contiguous = Side(single.shape.paged_layout), Side("contiguous", scattered=False)
    yield transfer("block size 1: paged to contiguous", single, paged, contiguous, "token")
    yield transfer("block size 1: contiguous to paged", single, contiguous, paged, "token")
