"""The metadata of a step: small uploads against plain copies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from accel import Capability

from ..kv_setting import KVSetting
from ..site import Site
from ..workload import Case, TorchWay, Workload

__all__ = ["uploads"]


def uploads(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """int64 metadata from 64 numbers to past the launch arguments: host time of the call."""
    del site
    for count in (64, 512, 4096):
        yield _upload(count, setting)


def _upload(count: int, setting: KVSetting) -> Workload:
    name = f"call: upload_small, {count} int64"

    def prepare(site: Site) -> Case:
        import torch

        src = site.empty("host", count, torch.int64)
        dst = site.empty("device", count, torch.int64)
        site.randomise(src, site.generator(name))

        def check() -> str:
            return "" if torch.equal(dst.cpu(), src) else "other numbers than the source's"

        return Case(
            partial(site.backend.kv.upload_small, dst, src),
            partial(site.poison, dst),
            check,
            "device",
            "host",
            (TorchWay("copy_", partial(dst.copy_, src)),),
            submission=True,
        )

    labels = setting.labels()
    return Workload(name, (Capability.KV_UPLOAD,), 8 * count, 32 * count, prepare, labels)
