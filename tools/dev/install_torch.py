"""Make sure that this interpreter has a torch >= 2.6; run by the Makefile, needs nothing installed.

An installed release is kept. Otherwise torch 2.13.0 is installed: where no GPU is present the CPU
build is asked for first, by its own version, since the default build brings gigabytes of CUDA
packages along.
"""

from __future__ import annotations

import glob
import importlib.metadata
import re
import subprocess
import sys

OLDEST = (2, 6)
WANTED = "2.13.0"
#: Device files of the accelerators whose users want the default build.
GPU_FILES = ("/dev/nvidia[0-9]*", "/dev/kfd")


def installed() -> str | None:
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def pip_install(requirement: str) -> bool:
    command = [sys.executable, "-m", "pip", "install", "-q", requirement]
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    version = installed()
    if version is not None:
        numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
        if numbers >= OLDEST:
            print(f"torch {version} is installed")
            return 0
        print(f"torch {version} is older than {'.'.join(map(str, OLDEST))}; upgrade it", flush=True)
        return 1
    if not any(glob.glob(pattern) for pattern in GPU_FILES):
        print(f"no GPU seen: installing the CPU build of torch {WANTED}", flush=True)
        if pip_install(f"torch=={WANTED}+cpu"):
            return 0
        print(
            f"pip's indexes have no torch {WANTED}+cpu; installing {WANTED}, which may bring CUDA "
            "packages along (to avoid that, add an index with CPU builds to pip's configuration)",
            flush=True,
        )
    return 0 if pip_install(f"torch=={WANTED}") else 1


if __name__ == "__main__":
    sys.exit(main())
