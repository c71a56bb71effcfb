"""The simulated torch_mlu: a device of torch on the simulated libcnrt.

``site/torch_mlu`` calls :func:`present`, and is on the path of programs that the simulator runs.
Importing this loads nothing; the parts that import torch do when they are asked for.
"""

from __future__ import annotations

from .names import TorchName, torch_name
from .sites import site_folder

__all__ = ["TorchName", "present", "site_folder", "torch_name"]


def present(package: str) -> None:
    """Makes the device known to torch, as the vendor's package does when it is imported.

    Args:
        package: the name under which it is imported, such as ``torch_mlu``.

    Raises:
        ImportError: the program was not started by the simulator, a real package of that name is
            installed, or torch's place for a device is taken.
    """
    from .presenting import present_as

    present_as(package, torch_name())
