"""Install the torch-npu that belongs to the installed torch, in this environment; for `make`.

For environments in which programs run under the CANN simulator only: without CANN, a torch-npu
breaks `import torch` for everybody.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

#: The exit status where there is no torch-npu for the torch here, or no way to get one.
NOT_TO_BE_HAD = 3


def version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def release(text: str) -> str:
    """``2.13.0`` of ``2.13.0+cpu`` and of ``2.13.0.post2``."""
    found = re.match(r"\d+\.\d+\.\d+", text)
    return found[0] if found else text


def main() -> int:
    torch = version("torch")
    if torch is None:
        print("torch is not installed here. Cure: `make setup`")
        return 1
    wanted, here = release(torch), version("torch-npu")
    if here is not None and release(here) == wanted:
        print(f"torch-npu {here} is installed for torch {torch}")
        return 0
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    # Without its dependencies: torch is here, and no other may be put in its place.
    if subprocess.run([*pip, "--no-deps", f"torch-npu=={wanted}.*"], check=False).returncode:
        print(
            f"pip found no torch-npu {wanted} for torch {torch} (see above), and torch-npu works"
            " with its own release of torch only, so nothing can be run on the CANN simulator."
            " `pip index versions torch-npu` shows the releases there are. Cure: a torch that has"
            " one, such as 2.13.0, in .venv",
            flush=True,
        )
        return NOT_TO_BE_HAD
    return subprocess.run([*pip, "pyyaml"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
