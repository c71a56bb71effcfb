"""Errors of ACL. Where accel has a class that says more, a call raises that one instead."""

from __future__ import annotations

from accel.errors import AsyncError
from accel.torch_device.errors import RuntimeCallError

__all__ = ["AclError", "DeviceFailedError"]


class AclError(RuntimeCallError):
    """A call into ACL failed."""


class DeviceFailedError(AclError, AsyncError):
    """Work that the device was given earlier failed: an operator, a copy, or the device itself."""
