"""Whether an NPU is here: what CANN's stack is called, and where it lies."""

from __future__ import annotations

import ctypes

from accel.torch_device import TorchVendor
from accel.torch_device.probe import DriverStack, Machine

__all__ = ["CANN", "LIBRARY_VARIABLE", "NPU", "Machine", "judge", "look", "probe"]

#: The ACL library to open instead of the one that the loader finds: for tests.
LIBRARY_VARIABLE = "ACCEL_ASCEND_LIBRARY"

NPU = TorchVendor(
    device_type="npu",
    package="torch_npu",
    distributed="hccl",
    distribution="torch-npu",
    host_queue=True,  # TASK_QUEUE_ENABLE
)


class _PackageVersion(ctypes.Structure):
    """What aclsysGetCANNVersion fills in: the version's text comes first."""

    _fields_ = [("version", ctypes.c_char * 128), ("rest", ctypes.c_char * 896)]


def _cann_version(library: ctypes.CDLL) -> str:
    try:
        ask = library.aclsysGetCANNVersion
    except AttributeError:
        return ""
    filled = _PackageVersion()
    for package in (0, 1):  # CANN itself, then the runtime
        if int(ask(package, ctypes.byref(filled))) == 0 and filled.version:
            return bytes(filled.version).decode("ascii", "replace")
    return ""


CANN = DriverStack(
    vendor=NPU,
    device="NPU",
    name="CANN",
    library="libascendcl.so",
    library_variable=LIBRARY_VARIABLE,
    count="aclrtGetDeviceCount",
    version=_cann_version,
    node="davinci",
    tool="npu-smi info",
    visible="ASCEND_RT_VISIBLE_DEVICES",
    setup="source /usr/local/Ascend/ascend-toolkit/set_env.sh",
    homes=("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"),
    places=(
        "usr/local/Ascend/ascend-toolkit/latest",
        "usr/local/Ascend/cann",
        "usr/local/Ascend/nnrt/latest",
    ),
    folders=("lib64", "runtime/lib64", "lib"),
    container="start the container with its NPUs (--device /dev/davinci0 --device"
    " /dev/davinci_manager ...)",
    package_cure="`pip install 'torch-npu=={minor}.*'`",
    torch_cure="`pip install 'accel-ascend[torch-npu]'`",
    beside="torch_npu.libs",  # as torch_npu's own loading has it
)


probe, judge, look = CANN.probe, CANN.judge, CANN.look
