"""Errors of CNRT. Where accel has a class that says more, a call raises that one instead."""

from __future__ import annotations

from accel.errors import AsyncError
from accel.torch_device.errors import RuntimeCallError

__all__ = ["CnrtError", "DeviceFailedError"]


class CnrtError(RuntimeCallError):
    """A call into CNRT failed."""


class DeviceFailedError(CnrtError, AsyncError):
    """Work that the MLU was given earlier failed, or the device itself."""
