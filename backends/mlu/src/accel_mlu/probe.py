"""Whether an MLU is here: what Neuware is called, and where it lies."""

from __future__ import annotations

import ctypes

from accel.torch_device import TorchVendor
from accel.torch_device.probe import DriverStack, Machine

__all__ = ["LIBRARY_VARIABLE", "MLU", "NEUWARE", "Machine", "judge", "look", "probe"]

#: The CNRT library to open instead of the one that the loader finds: for tests.
LIBRARY_VARIABLE = "ACCEL_MLU_LIBRARY"

MLU = TorchVendor(
    device_type="mlu", package="torch_mlu", distributed="cncl", distribution="torch-mlu"
)


def _cnrt_version(library: ctypes.CDLL) -> str:
    numbers = [ctypes.c_int(0) for _ in range(3)]
    ask = getattr(library, "cnrtGetLibVersion", None)
    if ask is None or int(ask(*(ctypes.byref(number) for number in numbers))) != 0:
        return ""
    return ".".join(str(number.value) for number in numbers)


NEUWARE = DriverStack(
    vendor=MLU,
    device="MLU",
    name="CNRT",
    library="libcnrt.so",
    library_variable=LIBRARY_VARIABLE,
    count="cnrtGetDeviceCount",
    version=_cnrt_version,
    node="cambricon_dev",
    tool="cnmon",
    visible="MLU_VISIBLE_DEVICES",
    setup="export NEUWARE_HOME=/usr/local/neuware LD_LIBRARY_PATH=/usr/local/neuware/lib64",
    homes=("NEUWARE_HOME",),
    places=("usr/local/neuware",),
    folders=("lib64", "lib"),
    container="start the container with its MLUs (--device /dev/cambricon_dev0 --device"
    " /dev/cambricon_ctl ...)",
    package_cure="install the torch_mlu of torch {minor} from Cambricon's own index (it is not on"
    " PyPI)",
    torch_cure="install torch and the torch_mlu that fits it, from Cambricon's own index",
    torch_of=r"torch(\d+\.\d+)",  # "1.25.0-torch2.7.1"
)


probe, judge, look = NEUWARE.probe, NEUWARE.judge, NEUWARE.look
