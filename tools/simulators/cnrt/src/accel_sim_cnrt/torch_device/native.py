"""The extension modules, from the folder that the simulator puts on the library path."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["load", "native"]


def load(name: str) -> Any:
    """Loads it once; its libraries are found by the loader as every program's of the simulator are.

    Raises:
        ImportError: the library path has no simulator's folder.
    """
    if name in sys.modules:
        return sys.modules[name]
    for part in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            file = Path(part or ".") / f"{name}{suffix}"
            if not file.is_file():
                continue
            loader = importlib.machinery.ExtensionFileLoader(name, str(file))
            spec = importlib.util.spec_from_file_location(name, file, loader=loader)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            loader.exec_module(module)
            return module
    raise ImportError(
        "the simulated torch_mlu works in programs that the simulator runs only. Cure:"
        " `accel-sim cnrt run -- python ...`; if that is how this was started, build it with"
        " `pip install accel-sim-cnrt`"
    )


import torch  # noqa: E402 - the extension's libraries are torch's

assert torch
native: Any = load("_torch_mlu")
