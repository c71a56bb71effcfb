"""One vendor's names in torch, and its package imported when it is first needed."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any

from ..errors import BackendUnavailableError, TorchImportError
from ..torch_import import AUTOLOAD_SWITCH, KNOWN_DRIVERS, import_torch

__all__ = ["KNOWN_DRIVERS", "TorchVendor"]


@dataclass(frozen=True)
class TorchVendor:
    """How torch knows a vendor's devices.

    Attributes:
        device_type: torch's name of the device, and of its namespace ``torch.<device_type>``.
        package: the package that adds it to torch; empty where torch has it built in.
        distributed: torch.distributed's name of the vendor's collectives.
        distribution: what ``pip install`` calls the package.
        handle: the property of its streams that gives the runtime's handle;
            ``<device_type>_stream`` if empty.
        host_queue: torch's operations pass a queue on the host before the runtime has them, which
            reading the handle empties; a null handle means that it stopped at a failed operation.
            Without one, null is the runtime's default stream.
    """

    device_type: str
    package: str
    distributed: str
    distribution: str
    handle: str = ""
    host_queue: bool = False

    @property
    def driver(self) -> str:
        """What the package needs besides itself, for messages."""
        return KNOWN_DRIVERS.get(self.distribution, "its driver")

    def load(self) -> Any:
        """``torch.<device_type>``, importing the vendor's package if nothing did so before.

        With autoloading, ``import torch`` brings it along; without, or in a torch that was
        imported while it was switched off, the package is imported here. A program that imported
        it itself changes nothing.

        Raises:
            TorchImportError: ``import torch`` fails, or the vendor's package does; the message
                names what is missing.
            BackendUnavailableError: the package is not installed, or another vendor has torch's
                one place for an accelerator.
        """
        torch = import_torch()
        space = getattr(torch, self.device_type, None)
        if space is not None and hasattr(space, "current_stream"):
            return space
        if not self.package:
            raise BackendUnavailableError(
                f"torch {torch.__version__} was built without {self.device_type}",
                f"install a torch built for {self.device_type}",
            )
        self._require_place(torch)
        try:
            importlib.import_module(self.package)
        except ModuleNotFoundError as error:
            if error.name != self.package:
                raise self._broken(error) from error
            raise BackendUnavailableError(
                f"{self.package}, which adds {self.device_type} devices to torch, is not installed",
                f"`pip install {self.distribution}` in the minor release of torch"
                f" {torch.__version__.partition('+')[0]}",
            ) from error
        except Exception as error:
            raise self._broken(error) from error
        found = getattr(torch, self.device_type, None)
        if found is None or not hasattr(found, "current_stream"):
            raise BackendUnavailableError(
                f"{self.package} was imported and torch.{self.device_type} is still not there",
                f"install the {self.distribution} that fits torch {torch.__version__}",
            )
        return found

    def _require_place(self, torch: Any) -> None:
        """One package a process may add a device to torch."""
        taken = str(torch._C._get_privateuse1_backend_name())
        others = [m for m in _PRIVATE_PACKAGES if m != self.package and m in sys.modules]
        if taken in ("privateuseone", self.device_type) and not others:
            return
        who = ", ".join(others) or f"the package of device {taken!r}"
        raise BackendUnavailableError(
            f"{who} has torch's only place for a vendor's device in this process,"
            f" which {self.package} needs",
            f"use a process of its own for {self.device_type}; {AUTOLOAD_SWITCH}=0 keeps packages"
            " that are not wanted out of `import torch`",
        )

    def _broken(self, error: Exception) -> TorchImportError:
        return TorchImportError(
            f"`import {self.package}` fails: {type(error).__name__}: {error}.",
            f"install {self.driver}, or the {self.distribution} of torch's minor release",
        )


#: Packages that rename torch's PrivateUse1 when they are imported.
_PRIVATE_PACKAGES = ("torch_npu", "torch_mlu", "torch_musa", "torch_gcu", "torch_sdaa", "torch_br")
