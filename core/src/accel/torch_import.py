"""``import torch``, with a diagnosis when it fails.

torch loads every entry point of group ``torch.backends`` while it is being imported. A vendor
package whose driver is missing raises there, and takes ``import torch`` down with it, for everyone
in the environment.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import Any

from .errors import TorchImportError

__all__ = ["AutoloadEntryPoint", "autoload_entry_points", "import_torch"]

AUTOLOAD_GROUP = "torch.backends"
AUTOLOAD_SWITCH = "TORCH_DEVICE_BACKEND_AUTOLOAD"

#: By distribution: what a vendor's package needs besides itself, and does not bring along. Without
#: it the package raises as soon as torch loads it.
KNOWN_DRIVERS = {
    "torch-npu": "CANN (`source /usr/local/Ascend/ascend-toolkit/set_env.sh` makes an installed one"
    " known to this shell)",
    "torch-mlu": "Cambricon's Neuware (`export NEUWARE_HOME=/usr/local/neuware`, with its lib64 in"
    " LD_LIBRARY_PATH)",
}

_FAILED_EXTENSION = re.compile(r"Failed to load the backend extension: ([^\s]+?)\.?(?:\s|\Z)")

# A second `import torch` in a process trips over what the first one left, and hides the cause.
_first_failure: tuple[str, str, BaseException] | None = None


@dataclass(frozen=True)
class AutoloadEntryPoint:
    """An entry point that ``import torch`` loads."""

    name: str
    value: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} = {self.value} of {self.distribution} {self.version}".rstrip()


def autoload_entry_points() -> tuple[AutoloadEntryPoint, ...]:
    """What ``import torch`` loads here, found in metadata; nothing is imported."""
    return _autoload_entry_points()[0]


def _autoload_entry_points() -> tuple[tuple[AutoloadEntryPoint, ...], list[str]]:
    from .distributions import entry_points_of

    found, problems = entry_points_of(AUTOLOAD_GROUP)
    points = tuple(
        AutoloadEntryPoint(e.name, e.value, e.distribution.name, e.distribution.version)
        for e in found
    )
    return points, problems


def import_torch() -> Any:
    """The torch module.

    Raises:
        TorchImportError: torch is not installed, or raises while it is imported; the message names
            the distribution to blame and the cure, ``__cause__`` is the original exception.
    """
    global _first_failure
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "Tensor") and not _importing(torch):
        _first_failure = None
        return torch
    if _first_failure is not None:
        message, cure, cause = _first_failure
        raise TorchImportError(message, cure) from cause
    left_over = "torch" not in sys.modules and "torch._C" in sys.modules
    try:
        import torch
    except Exception as error:
        message, cure = _diagnose(error, left_over)
        _first_failure = message, cure, error
        raise TorchImportError(message, cure) from error
    return torch


def known_failure() -> str:
    """Why an earlier :func:`import_torch` failed in this process; empty when none did."""
    return "" if _first_failure is None else str(TorchImportError(*_first_failure[:2]))


def driver_of(distribution: str) -> str:
    """What ``distribution`` needs besides itself, for a cure."""
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    return KNOWN_DRIVERS.get(name, f"the driver that {distribution} needs")


def _importing(module: Any) -> bool:
    # Another thread's import: let the import system wait for it instead of using half a module.
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _metadata_raises() -> bool:
    """True when reading the group as torch reads it fails before any entry point is loaded."""
    from importlib.metadata import entry_points

    try:
        entry_points(group=AUTOLOAD_GROUP)
    except Exception:
        return True
    return False


def _diagnose(error: Exception, left_over: bool) -> tuple[str, str]:
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return "torch is not installed in this environment.", "`pip install 'torch>=2.6'`"
    what = f"`import torch` fails: {type(error).__name__}: {error}"
    suspects, damaged = _autoload_entry_points()
    if os.environ.get(AUTOLOAD_SWITCH, "1") != "1":
        suspects, damaged = (), []
    match = _FAILED_EXTENSION.search(str(error))
    culprits = [s for s in suspects if match and s.name == match[1]]
    if culprits:
        root = error.__cause__ or error
        named = " or ".join(str(c) for c in culprits)
        return (
            f"`import torch` fails because it autoloads the entry point {named}, which raises"
            f" {type(root).__name__}: {root}.",
            f"set {AUTOLOAD_SWITCH}=0, or install {driver_of(culprits[0].distribution)}, or"
            f" `pip uninstall {culprits[0].distribution}`",
        )
    if damaged and _metadata_raises():
        return (
            f"{what}: torch reads the entry points of every distribution, and one is damaged:"
            f" {'; '.join(damaged)}.",
            f"repair or delete that distribution, or set {AUTOLOAD_SWITCH}=0",
        )
    if left_over:
        named = ", ".join(str(s) for s in suspects)
        return (
            f"an earlier `import torch` in this process failed and left torch half loaded ({what})."
            + (f" torch autoloads: {named}." if named else ""),
            "run `accel doctor`, which imports torch in a fresh process and names the cause"
            + (f"; {AUTOLOAD_SWITCH}=0 rules out autoloading" if named else ""),
        )
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("torch"):
        return f"{what}.", f"`pip install {error.name}`, which torch needs"
    return f"{what}.", "`pip install --force-reinstall torch`, then `accel doctor`"
