"""Simulated accelerators for tests. Nothing here is active unless a program is started under it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["native_sources"]


def native_sources() -> str:
    """The folder of the core's C++ sources, which every simulator compiles into its own runtime."""
    return str(Path(__file__).parent / "native")
