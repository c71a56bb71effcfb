"""Copies in other forms than one flat run: batches of pages, pitched rows; and fills."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from accel import Capability

from ..buffers import GUARD, bytes_differ, size_name
from ..site import POISON, Kind, Site
from ..workload import Case, TorchWay, Workload

if TYPE_CHECKING:
    import torch

__all__ = ["batches", "fills", "rows_2d"]

KIB, MIB = 1 << 10, 1 << 20
PAGES = 1024
FILL = 0x3C


def batches(site: Site, max_bytes: int) -> Iterator[Workload]:
    """``copy_batch`` of 1024 pages at random places of two buffers."""
    for dst, src in _directions(site):
        for page in (4 * KIB, 16 * KIB, 64 * KIB):
            if page * PAGES <= max_bytes:
                yield _batch(site, dst, src, page)


def rows_2d(site: Site, max_bytes: int) -> Iterator[Workload]:
    """``copy_2d`` of the left half of rows to packed rows."""
    for dst, src in _directions(site):
        for width, height in ((4 * KIB, 4096), (256, 16384)):
            if width * height <= max_bytes:
                yield _rows(site, dst, src, width, height)


def fills(site: Site, max_bytes: int) -> Iterator[Workload]:
    """``fill`` of one buffer; the plain copy that it is compared with reads as many bytes too."""
    for nbytes in (64 * KIB, 16 * MIB, 256 * MIB):
        if nbytes <= max_bytes:
            yield _fill(site, nbytes)


def _directions(site: Site) -> Iterator[tuple[Kind, Kind]]:
    yield "device", "device"
    if site.separate:
        yield "device", site.staging
        yield site.staging, "device"


def _batch(site: Site, dst: Kind, src: Kind, page: int) -> Workload:
    name = f"batch of {PAGES} pages of {size_name(page)}, {site.label(src)} to {site.label(dst)}"

    def prepare(site: Site) -> Case:
        import torch

        generator = site.generator(name)
        # Twice as many pages as are moved, so that neither side is one run.
        into = site.empty(dst, (2 * PAGES, page), torch.uint8)
        out_of = site.empty(src, (2 * PAGES, page), torch.uint8)
        site.randomise(out_of, generator)
        to = torch.randperm(2 * PAGES, generator=generator)[:PAGES]
        origin = torch.randperm(2 * PAGES, generator=generator)[:PAGES]
        dsts = [into[i] for i in to.tolist()]
        srcs = [out_of[i] for i in origin.tolist()]

        def expected() -> torch.Tensor:
            whole = torch.full((2 * PAGES, page), POISON, dtype=torch.uint8)
            whole[to] = out_of.cpu()[origin]
            return whole.flatten()

        return Case(
            partial(site.backend.memcpy.copy_batch, dsts, srcs),
            partial(site.poison, into),
            lambda: bytes_differ(into.flatten(), expected()),
            dst,
            src,
        )

    nbytes = page * PAGES
    return Workload(name, (Capability.COPY_BATCH,), nbytes, 8 * nbytes, prepare, {"page": page})


def _rows(site: Site, dst: Kind, src: Kind, width: int, height: int) -> Workload:
    name = (
        f"2-D {height} rows of {size_name(width)}, pitch {size_name(2 * width)},"
        f" {site.label(src)} to {site.label(dst)}"
    )

    def prepare(site: Site) -> Case:
        import torch

        out_of = site.empty(src, (height, 2 * width), torch.uint8)
        site.randomise(out_of, site.generator(name))
        into = site.empty(dst, height * width + GUARD, torch.uint8)
        rows = into[: height * width]

        def expected() -> torch.Tensor:
            guard = torch.full((GUARD,), POISON, dtype=torch.uint8)
            return torch.cat([out_of.cpu()[:, :width].flatten(), guard])

        call = partial(
            site.backend.memcpy.copy_2d,
            rows,
            out_of,
            width=width,
            height=height,
            dst_pitch=width,
            src_pitch=2 * width,
        )
        way = partial(rows.view(height, width).copy_, out_of[:, :width])
        return Case(
            call,
            partial(site.poison, into),
            lambda: bytes_differ(into, expected()),
            dst,
            src,
            (TorchWay("Tensor.copy_ of the strided view", way),),
        )

    nbytes = width * height
    labels: dict[str, str | int] = {"width": width, "height": height, "pitch": 2 * width}
    return Workload(name, (Capability.COPY_2D,), nbytes, 8 * nbytes, prepare, labels)


def _fill(site: Site, nbytes: int) -> Workload:
    name = f"fill {site.label('device')}, {size_name(nbytes)}"

    def prepare(site: Site) -> Case:
        import torch

        whole = site.empty("device", nbytes + 2 * GUARD, torch.uint8)
        middle = whole[GUARD : GUARD + nbytes]

        def expected() -> torch.Tensor:
            bytes_ = torch.full((len(whole),), POISON, dtype=torch.uint8)
            bytes_[GUARD : GUARD + nbytes] = FILL
            return bytes_

        return Case(
            partial(site.backend.memcpy.fill, middle, FILL),
            partial(site.poison, whole),
            lambda: bytes_differ(whole, expected(), GUARD),
            "device",
            "device",
            (TorchWay("Tensor.fill_", partial(middle.fill_, FILL)),),
        )

    return Workload(name, (Capability.FILL,), nbytes, 4 * nbytes, prepare)
