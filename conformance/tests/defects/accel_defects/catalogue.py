"""All defects, in groups that are run together, and the entry points that they are."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from .defect import Defect
from .plugins import attribute_of
from .runner_backends import DEFECTS as RUNNER_BACKENDS
from .runner_backends import SOUND

__all__ = ["ENTRY_POINTS", "GROUPS", "SOUND"]


def _group(module: str) -> tuple[Defect, ...]:
    defects: tuple[Defect, ...] = import_module(f"accel_defects.{module}").DEFECTS
    return defects


#: From the modules ``<name>_defects``, each with a tuple DEFECTS.
GROUPS: Mapping[str, tuple[Defect, ...]] = {
    file.stem.removesuffix("_defects"): _group(file.stem)
    for file in sorted(Path(__file__).parent.glob("*_defects.py"))
}

#: Of group ``accel.backends``.
ENTRY_POINTS: Mapping[str, str] = {
    defect.backend: f"accel_defects.plugins:{group}.{attribute_of(defect)}"
    for group, defects in {**GROUPS, "runner": RUNNER_BACKENDS}.items()
    for defect in defects
}
