"""Registers the device with torch under the names that the program asked for."""

from __future__ import annotations

import importlib
import sys

import torch
from torch.utils import backend_registration

from .names import TorchName
from .sites import real_package

__all__ = ["present_as"]


def present_as(package: str, name: TorchName) -> None:
    if package != name.package:
        raise ImportError(
            f"{package} is not simulated here: the simulated device is {name}. Cure: ask the"
            " simulator for it by --torch-name"
        )
    real = real_package(package, sys.path)
    if real is not None:
        raise ImportError(
            f"{real} is a real {package}, and this is the simulated one. Cure: use an environment"
            f" without {package}"
        )
    taken = torch._C._get_privateuse1_backend_name()
    if taken not in ("privateuseone", name.device):
        raise ImportError(f"torch's place for a device is taken by {taken!r} in this process")
    backend_registration.rename_privateuse1_backend(name.device)
    space = importlib.import_module(".namespace", __package__)
    space.take_names(name)
    torch._register_device_module(name.device, space)  # type: ignore[no-untyped-call]
    sys.modules[f"torch.{name.device}"] = space
    sys.modules[f"{package}.{name.device}"] = space
    setattr(sys.modules[package], name.device, space)
    backend_registration.generate_methods_for_privateuse1_backend(for_storage=True)
    importlib.import_module(".process_group", __package__).register_backend(name)
