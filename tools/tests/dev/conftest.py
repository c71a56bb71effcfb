"""The programs in tools/dev, as modules."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DEV = Path(__file__).parents[2] / "dev"


@pytest.fixture
def script() -> Callable[[str], ModuleType]:
    """``script("install_torch")``: the program of that name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, DEV / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look there
        spec.loader.exec_module(module)
        return module

    return load
