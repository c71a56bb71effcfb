"""What the entry points name, ``plugins:<group>.<plugin>``; a group is imported when asked for.

Some groups import torch, which a plugin must not do when it is discovered.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from .defect import Defect, DefectPlugin

__all__ = ["attribute_of"]


def attribute_of(defect: Defect) -> str:
    """The name of a defect's plugin within its group."""
    return f"plugin_{defect.name.replace('-', '_')}"


class _Group:
    """The plugins of one module."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        defects = import_module(f"accel_defects.{self._module}").DEFECTS
        self.__dict__.update({attribute_of(d): DefectPlugin(d) for d in defects})
        return self.__dict__[name]


runner = _Group("runner_backends")
globals().update(
    {
        file.stem.removesuffix("_defects"): _Group(file.stem)
        for file in Path(__file__).parent.glob("*_defects.py")
    }
)
