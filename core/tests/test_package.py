"""The package's face: what it exports, and where its headers are."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

import accel


def test_everything_that_is_exported_exists() -> None:
    for name in accel.__all__:
        assert getattr(accel, name) is not None
        assert name in dir(accel)
    assert len(set(accel.__all__)) == len(accel.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="teleport"):
        _ = accel.teleport


def test_version_and_headers() -> None:
    assert accel.__version__ == version("accel-core")
    include = Path(accel.get_include())
    assert include.is_absolute()
    assert list(include.glob("accel/*.h*")), f"no headers in {include}"
