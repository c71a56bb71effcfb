"""What the simulated device is called: Cambricon's names, or those of another such vendor."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["VARIABLE", "TorchName", "torch_name"]

#: The variable by which the program learns the names.
VARIABLE = "ACCEL_SIM_TORCH_NAME"


@dataclass(frozen=True)
class TorchName:
    """The names of one vendor in torch.

    Attributes:
        device: the device type, and the namespace ``torch.<device>``.
        package: the Python package that adds it.
        distributed: the backend of torch.distributed.
    """

    device: str = "mlu"
    package: str = "torch_mlu"
    distributed: str = "cncl"

    def __str__(self) -> str:
        return f"{self.device}:{self.package}:{self.distributed}"

    @classmethod
    def parse(cls, text: str) -> TorchName:
        """The names in ``musa:torch_musa:mccl``; an empty text means Cambricon's.

        Raises:
            ValueError: the text is not three identifiers.
        """
        parts = text.split(":")
        if not text:
            return cls()
        if len(parts) != 3 or not all(part.isidentifier() for part in parts):
            raise ValueError(
                f"{VARIABLE}: expected device:package:distributed, such as musa:torch_musa:mccl,"
                f" given {text!r}"
            )
        return cls(*parts)


def torch_name() -> TorchName:
    """What this program's environment says."""
    return TorchName.parse(os.environ.get(VARIABLE, ""))
