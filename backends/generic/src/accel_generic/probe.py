"""Whether a vendor's package is installed, and whether torch finds devices by it.

What a vendor's driver looks like is not known here, so torch itself is asked: in this process where
the package is imported already, else in one of its own, which is done once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import accel

from .table import Row

__all__ = ["installed", "probe"]

_ASK = """
import sys
from accel.torch_device import TorchVendor
space = TorchVendor({device_type!r}, {package!r}, "", "").load()
name = sys.modules.get({package!r})
simulated = bool(getattr(space, "__simulated__", False) or getattr(name, "__simulated__", False))
print("devices", int(space.device_count()), int(simulated))
"""
_PATIENCE = 300.0


def installed(row: Row) -> bool:
    """Whether the vendor's package, or a torch built for its devices, is here; nothing is run."""
    package = row.vendor.package.partition(".")[0]
    try:
        if package:
            return find_spec(package) is not None
        spec = find_spec("torch")
    except (ImportError, ValueError):
        return False
    if spec is None or not spec.origin:
        return False
    version = Path(spec.origin).with_name("version.py")
    text = version.read_text(encoding="utf-8") if version.exists() else ""
    return re.search(rf"^{row.name}\b[^=\n]*=\s*['\"]", text, re.MULTILINE) is not None


def probe(row: Row) -> accel.Probe:
    """Ask torch for devices. Never raises."""
    by = row.vendor.package or "torch"
    details = {"package": by, "torch.distributed": row.vendor.distributed}
    if not installed(row):
        return accel.Probe(
            available=False,
            reason=f"{by} for {row.maker}'s {row.name} devices is not installed",
            cure=f"install {row.vendor.distribution} on a machine with such a device",
            details=details,
        )
    count, simulated, failure = _ask(row)
    if not count:
        return accel.Probe(
            available=False,
            reason=failure or f"{by} finds no {row.name} device",
            cure=f"run on a machine with a {row.maker} device, and its driver",
            details=details,
        )
    kind = f"simulated {row.name} device" if simulated else f"{row.name} device"
    return accel.Probe(
        available=True,
        reason=f"{count} {kind}{'s' if count != 1 else ''} ({by})",
        device_count=count,
        simulated=simulated,
        details=details,
    )


def _ask(row: Row) -> tuple[int, bool, str]:
    """``(devices, simulated, why none)``."""
    space = getattr(sys.modules.get("torch"), row.name, None)
    package = sys.modules.get(row.vendor.package)
    if space is not None and (package is not None or not row.vendor.package):
        try:
            simulated = any(getattr(m, "__simulated__", False) for m in (space, package))
            return int(space.device_count()), simulated, ""
        except Exception as error:
            return 0, False, f"torch.{row.name}.device_count() raised: {error}"
    visible = tuple(sorted((k, v) for k, v in os.environ.items() if "VISIBLE" in k))
    return _ask_elsewhere(row.name, row.vendor.package, visible)


@cache
def _ask_elsewhere(
    device_type: str, package: str, _visible: tuple[tuple[str, str], ...]
) -> tuple[int, bool, str]:
    program = _ASK.format(device_type=device_type, package=package)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 0, False, f"asking {package or 'torch'} for its devices failed: {error}"
    found = re.search(r"^devices (\d+) ([01])$", done.stdout, re.MULTILINE)
    if found is None:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return 0, False, f"{package or 'torch'} is installed, and fails: {last}"
    return int(found[1]), found[2] == "1", ""
