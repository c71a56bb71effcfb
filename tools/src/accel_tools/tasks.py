"""What ``accel doctor`` does in processes of their own; each returns something JSON can hold.

Run as ``python -m accel_tools.tasks ORDER ANSWER-FILE`` by :mod:`accel_tools.isolation`.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

__all__ = ["build", "import_torch", "load_one", "survey"]


def import_torch(_: Any) -> dict[str, Any]:
    """Whether ``import torch`` works; who is to blame when it does not."""
    import accel

    try:
        torch = accel.import_torch()
    except accel.TorchImportError as error:
        return {
            "works": False,
            "error": str(error),
            "cure": error.cure,
            "cause": repr(error.__cause__),
        }
    return {"works": True, "version": torch.__version__, "path": str(Path(torch.__file__).parent)}


def survey(_: Any) -> dict[str, Any]:
    """``accel.explain()``."""
    import accel

    return accel.explain().to_dict()


def load_one(distribution: str) -> bool:
    """Load and probe the plugins of one distribution only. Returning at all is the answer."""
    import accel.discovery
    from accel.distributions import entry_points_of
    from accel.hookspecs import ENTRY_POINT_GROUP

    found, _ = entry_points_of(ENTRY_POINT_GROUP)
    names = {point.distribution.name for point in found}
    accel.discovery.reset(leave_out=names - {distribution})
    accel.available_backends()
    return True


def build(name: str) -> dict[str, Any]:
    """Build one backend and say what it is made of; ``error`` is empty when that worked."""
    import accel

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", accel.AccelWarning)
        try:
            backend = accel.get_backend(name)
        except accel.AccelError as error:
            explained = accel.explain(name).to_dict()
            trace = [c["traceback"] for c in explained["candidates"] if c["name"] == name]
            return {"error": str(error), "cure": error.cure, "traceback": "".join(trace)}
    said = [str(w.message) for w in caught if issubclass(w.category, accel.AccelWarning)]
    report = {
        "error": "",
        "device": str(backend.device),
        "capabilities": {str(c): str(level) for c, level in backend.capabilities.items()},
        "overrides": accel.explain(name).to_dict()["overrides"],
        "notes": list(backend.notes),
        "warnings": said,
    }
    backend.close()
    return report


TASKS = {task.__name__: task for task in (import_torch, survey, load_one, build)}


def main() -> None:
    if not getattr(sys.flags, "safe_path", False):
        # -m put the current directory first; a file there must not pass for an installed module.
        del sys.path[0]
    order = json.loads(sys.argv[1])
    import accel.discovery

    accel.discovery.reset(leave_out=order["leave_out"])
    value = TASKS[order["task"]](order["argument"])
    Path(sys.argv[2]).write_text(json.dumps(value))


if __name__ == "__main__":
    main()
