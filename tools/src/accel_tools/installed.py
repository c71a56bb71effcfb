"""What is installed, from metadata alone: nothing is imported, so nothing can fail to import."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from accel.distributions import entry_points_of
from accel.hookspecs import ENTRY_POINT_GROUP, HOOKSPEC_VERSION, OLDEST_HOOKSPEC_VERSION
from accel.torch_import import AUTOLOAD_SWITCH, autoload_entry_points

__all__ = ["environment", "plugin_distributions"]

_WATCHED = ("ACCEL_BACKEND", AUTOLOAD_SWITCH, "CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")


def environment() -> dict[str, Any]:
    """Python, platform, torch, accel's distributions, and who hooks into ``import torch``."""
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "hookspec_version": HOOKSPEC_VERSION,
        "oldest_hookspec_version": OLDEST_HOOKSPEC_VERSION,
        "torch": _version("torch"),
        "torch_autoload": [
            {"name": e.name, "value": e.value, "distribution": e.distribution, "version": e.version}
            for e in autoload_entry_points()
        ],
        "distributions": _accel_distributions(),
        "variables": {name: os.environ[name] for name in _WATCHED if name in os.environ},
    }


def plugin_distributions() -> list[str]:
    """Names of the distributions that provide plugins."""
    found, _ = entry_points_of(ENTRY_POINT_GROUP)
    return list(dict.fromkeys(point.distribution.name for point in found))


def _accel_distributions() -> dict[str, str]:
    from importlib.metadata import distributions

    versions: dict[str, str] = {}
    for dist in distributions():
        try:
            name, version = dist.metadata["Name"], dist.metadata["Version"]
        except Exception:  # damaged; where it holds a plugin, discovery reports it
            continue
        if name and name.lower().replace("_", "-").startswith("accel-"):
            versions.setdefault(name, version or "")
    found, _ = entry_points_of(ENTRY_POINT_GROUP)
    for point in found:
        versions.setdefault(point.distribution.name, point.distribution.version)
    return dict(sorted(versions.items()))


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
