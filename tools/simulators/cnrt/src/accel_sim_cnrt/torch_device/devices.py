"""Devices: how many there are, which one is current, what they are."""

from __future__ import annotations

import os
from types import SimpleNamespace, TracebackType
from typing import Any

import torch

from .names import torch_name
from .native import native

__all__ = [
    "DEVICE_TYPE",
    "_is_in_bad_fork",
    "can_device_access_peer",
    "current_device",
    "device",
    "device_count",
    "device_of",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "index_of",
    "init",
    "is_available",
    "is_initialized",
    "set_device",
    "synchronize",
]

#: torch's number of the device type PrivateUse1.
DEVICE_TYPE = 20
#: What a program may give for a device.
Device = Any


def index_of(given: Device = None) -> int:
    """The index of ``1``, ``"mlu:1"`` or ``torch.device("mlu", 1)``; the current one of None.

    Raises:
        ValueError: a device of another kind, or one that is not there.
    """
    kind = torch_name().device
    if given is None:
        return int(native.current_device())
    if isinstance(given, str):
        given = torch.device(given)
    if isinstance(given, torch.device):
        if given.type != kind:
            raise ValueError(f"device: expected one of {kind}, given {given}")
        index = int(native.current_device()) if given.index is None else given.index
    else:
        index = int(given)
    if not 0 <= index < native.device_count():
        raise ValueError(f"device: expected 0 to {native.device_count() - 1}, given {index}")
    return index


def device_count() -> int:
    return int(native.device_count())


def is_available() -> bool:
    return device_count() > 0


def init() -> None:
    """The runtime needs no initialisation."""


def is_initialized() -> bool:
    return True


def _is_in_bad_fork() -> bool:
    return False  # the runtime says so at the call


def current_device() -> int:
    return int(native.current_device())


def set_device(device: Device) -> None:
    native.set_device(index_of(device))


def synchronize(device: Device = None) -> None:
    """Waits for all queues of the device. Raises RuntimeError: what failed on one of them."""
    native.synchronize(index_of(device))


def can_device_access_peer(device: Device, peer_device: Device) -> bool:
    own, other = index_of(device), index_of(peer_device)
    return own != other and bool(native.peers(own, other))


def get_device_name(device: Device = None) -> str:
    index_of(device)
    return os.environ.get("ACCEL_SIM_CHIP", "mlu590").upper()


def get_device_capability(device: Device = None) -> tuple[int, int]:
    """The chip's generation: (3, 7) of an MLU370, (5, 9) of an MLU590."""
    digits = get_device_name(device).removeprefix("MLU")
    return int(digits[0]), int(digits[1])


def get_device_properties(device: Device = None) -> SimpleNamespace:
    index = index_of(device)
    major, minor = get_device_capability(index)
    return SimpleNamespace(
        name=get_device_name(index),
        major=major,
        minor=minor,
        total_memory=int(native.memory_info(index)[1]),
    )


class device:
    """Makes a device current inside a ``with`` block; None or a negative one changes nothing."""

    def __init__(self, device: Device) -> None:
        nothing = device is None or (isinstance(device, int) and device < 0)
        self.idx = -1 if nothing else index_of(device)
        self.prev_idx = -1

    def __enter__(self) -> None:
        self.prev_idx = int(native.exchange_device(self.idx))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        native.exchange_device(self.prev_idx)


class device_of(device):
    """Makes the device of a tensor current; a tensor of the host changes nothing."""

    def __init__(self, tensor: torch.Tensor) -> None:
        ours = tensor.device.type == torch_name().device
        super().__init__(tensor.device.index if ours else None)
