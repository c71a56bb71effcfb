"""Defects of what a backend says about itself."""

from __future__ import annotations

from typing import Any

import accel
from accel import Capability, Level

from .defect import Defect
from .wrapping import WrappedMemcpy, WrappedStream, WrappedStreams

__all__ = ["DEFECTS"]


class _Liar(WrappedStreams):
    """Claims torch stream objects, and has none."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.capabilities = {**inner.capabilities, Capability.STREAM_TORCH: Level.NATIVE}


class _SilentStream(WrappedStream):
    def as_torch(self) -> None:
        return None


class _Silent(WrappedStreams):
    """Returns None where CapabilityError is due."""

    stream_type = _SilentStream


class _BlamingStream(WrappedStream):
    def as_torch(self) -> None:
        raise accel.CapabilityError(Capability.EVENTS, "defect")


class _Blaming(WrappedStreams):
    """Names another capability, which it has."""

    stream_type = _BlamingStream


def _without(levels: Any, *capabilities: Capability) -> dict[Capability, Level]:
    return {c: v for c, v in levels.items() if c not in capabilities}


class _NoRows(WrappedMemcpy):  # type: ignore[misc]
    """Does not claim pitched copies, and does nothing when asked for one."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.capabilities = _without(inner.capabilities, Capability.COPY_2D)

    def copy_2d(self, dst: Any, src: Any, **extents: Any) -> None:
        return None


class _WrongError(_NoRows):
    """Raises something else where CapabilityError is due."""

    def copy_2d(self, dst: Any, src: Any, **extents: Any) -> None:
        raise RuntimeError("not implemented")


def _heavy_probe() -> accel.Probe:
    import torch

    return accel.Probe(True, f"torch {torch.__version__}", device_count=1)


def _nervous_probe() -> accel.Probe:
    import os

    home = os.environ["HOME"]
    return accel.Probe(True, f"a home at {home}", device_count=1)


DEFECTS = (
    Defect("claim-false", ("L0-capabilities::honest[streams.torch]",), streams=_Liar),
    Defect("none-instead", ("L0-capabilities::honest[streams.torch]",), streams=_Silent),
    Defect("wrong-blame", ("L0-capabilities::honest[streams.torch]",), streams=_Blaming),
    Defect("no-op-instead", ("L0-capabilities::honest[memcpy.2d]",), memcpy=_NoRows),
    Defect("wrong-error", ("L0-capabilities::honest[memcpy.2d]",), memcpy=_WrongError),
    Defect("probe-heavy", ("L0-discovery::import_light[as it is]",), probe=_heavy_probe),
    Defect("probe-raises", ("L0-discovery::import_light[empty]",), probe=_nervous_probe),
)
