"""The ``device`` argument: understood without importing torch, made a ``torch.device`` at build."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from .errors import DeviceError

if TYPE_CHECKING:
    import torch

__all__ = ["DeviceSpec", "current_index", "parse_device", "torch_device"]

_PATTERN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::([0-9]+))?\Z")


@dataclass(frozen=True)
class DeviceSpec:
    """A device type and, where one was named, an index."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


def parse_device(device: object) -> DeviceSpec | None:
    """What a caller's ``device`` means: a ``torch.device``, a string as ``"cuda:1"``, or None.

    Raises:
        DeviceError: an integer, or anything else. An integer does not say which backend's device
            is meant, and means another device as soon as a second accelerator is installed.
    """
    if device is None:
        return None
    if isinstance(device, str):
        match = _PATTERN.match(device)
        if match is None:
            raise DeviceError("device", "a device such as 'cuda' or 'cuda:1'", repr(device))
        return DeviceSpec(match[1], None if match[2] is None else int(match[2]))
    # A torch.device cannot exist unless torch is loaded, so it is never imported here.
    torch_type = getattr(sys.modules.get("torch"), "device", None)
    if isinstance(torch_type, type) and isinstance(device, torch_type):
        known: Any = device
        return DeviceSpec(known.type, known.index)
    cure = ""
    if isinstance(device, int):
        index = int(device)
        cure = f"name the device type: device='cuda:{index}' or torch.device('cuda', {index})"
    raise DeviceError(
        "device", "a torch.device, a string such as 'cuda:1', or None", repr(device), cure
    )


def torch_device(torch_module: Any, spec: DeviceSpec) -> torch.device:
    """The ``torch.device`` of ``spec``; without an index, torch's current device of that type.

    The CPU has no index in torch (tensors report ``cpu``), so ``cpu:0`` is ``cpu``.

    Raises:
        RuntimeError: torch does not know the type (its vendor package was not imported).
    """
    if spec.type == "cpu":
        return cast("torch.device", torch_module.device("cpu"))
    index = current_index(torch_module, spec.type) if spec.index is None else spec.index
    return cast("torch.device", torch_module.device(spec.type, index))


def current_index(torch_module: Any, device_type: str) -> int:
    """The index of torch's current device of that type; 0 while its runtime is not initialised.

    Asked each time: a rank that calls ``torch.cuda.set_device`` first gets its own device.
    """
    module = getattr(torch_module, device_type, None)
    current = getattr(module, "current_device", None)
    initialised = getattr(module, "is_initialized", None)
    if current is None or (initialised is not None and not initialised()):
        return 0
    return int(current())
