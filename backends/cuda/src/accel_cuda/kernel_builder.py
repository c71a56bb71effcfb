"""The entry point of ``accel build-kernels``: all kernel files for a chip, into the disk cache."""

from __future__ import annotations

import re
from collections.abc import Mapping

from accel.errors import ArgumentError
from accel.kernel_builders import BuiltKernels, KernelJob

from . import kernel_files, kernels
from .kernel_cache import default_folder

__all__ = ["BUILDER"]


class _Builder:
    def folder(self) -> str:
        folder = default_folder()
        return str(folder) if folder is not None else "nowhere: set ACCEL_KERNEL_CACHE"

    def chips_here(self) -> list[str]:
        import torch

        if not torch.cuda.is_available():
            return []
        found = []
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            if torch.version.hip is not None:
                found.append(str(properties.gcnArchName))
            else:
                found.append(f"sm_{properties.major}{properties.minor}")
        return list(dict.fromkeys(found))

    def jobs(self, chip: str) -> list[KernelJob]:
        _vendor(chip)
        return [
            KernelJob(chip, file, _words(defines))
            for file in kernel_files.names()
            for defines in kernel_files.variants(file)
        ]

    def build(self, job: KernelJob) -> BuiltKernels:
        for defines in kernel_files.variants(job.file):
            if _words(defines) == job.variant:
                image, was_there = kernels.build(_vendor(job.chip), job.chip, job.file, defines)
                return BuiltKernels(len(image), was_there, was_there or kernels.is_kept())
        raise ArgumentError("variant", f"one of those of {job.file}", job.variant)


BUILDER = _Builder()


def _words(defines: Mapping[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(defines.items()))


def _vendor(chip: str) -> str:
    if re.fullmatch(r"sm_\d+", chip):
        return "cuda"
    if re.fullmatch(r"gfx[0-9a-f]+(:\w+[+-])*", chip):
        return "hip"
    raise ArgumentError("chip", "a chip, as sm_90 or gfx942", chip)
