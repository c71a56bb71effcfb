"""Whether an accelerator is here: found without torch, and without starting the driver.

``cuInit`` is never called: a process that called it cannot use the device after a fork, and probing
must not take that away from a program that goes on to fork its workers. So devices are counted by
NVML, or by their device files, and the driver library is opened but not initialised.
"""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import accel

__all__ = ["DRIVER_VARIABLE", "Machine", "judge", "look", "probe"]

#: A driver library to open instead of the vendor's: for simulators and tests.
DRIVER_VARIABLE = "ACCEL_CUDA_DRIVER"
#: Exported by a library that only acts as a driver; reports then say "simulated".
SIMULATED_SYMBOL = "accel_simulated_driver"

_HIP_DRIVERS = ("libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5")


@dataclass(frozen=True)
class Machine:
    """What was found. Empty strings and zero: nothing."""

    nvidia: int = 0  #: devices of the kind, whether or not this process may see them
    amd: int = 0
    seen_by: str = ""  #: how they were counted
    uuids: tuple[str, ...] = ()  #: of NVIDIA's devices
    cuda_driver: str = ""  #: the library that was opened
    cuda_version: int = 0  #: the newest CUDA it supports: 13000 is 13.0
    cuda_error: str = ""  #: why it cannot be opened
    hip_driver: str = ""
    hip_error: str = ""
    torch_version: str = ""
    torch_cuda: str = ""  #: the CUDA version that torch was built for
    torch_hip: str = ""
    compiler: str = ""  #: where NVRTC or hiprtc was found
    visible: str | None = None  #: CUDA_VISIBLE_DEVICES, or HIP_VISIBLE_DEVICES with ROCm's torch


def probe() -> accel.Probe:
    """Look at this machine. Never raises."""
    path = os.environ.get(DRIVER_VARIABLE, "")
    return _given_driver(path) if path else judge(look())


# --- what follows from what was found ---------------------------------------------------------


def judge(machine: Machine) -> accel.Probe:
    """Whether the backend can be built on ``machine``; else what is missing, and its cure."""
    hip = bool(machine.torch_hip) or (machine.amd > 0 and machine.nvidia == 0)
    details = _details(machine, hip)
    devices = machine.amd if hip else machine.nvidia
    kind = "AMD" if hip else "NVIDIA"
    if devices == 0:
        lacks = ["no NVIDIA or AMD device was found"]
        if not machine.cuda_driver and not machine.hip_driver:
            lacks.append(f"no driver ({machine.cuda_error or 'libcuda.so.1 is not there'})")
        if machine.torch_version and not (machine.torch_cuda or machine.torch_hip):
            lacks.append(f"torch {machine.torch_version} is built without CUDA and ROCm")
        if not machine.compiler:
            lacks.append("no compiler for kernels (NVRTC or hiprtc)")
        return accel.Probe(
            available=False,
            reason="; ".join(lacks),
            cure="run on a machine with a GPU, or start the container with its GPUs",
            details=details,
        )
    found = f"{devices} {kind} device{'s' if devices != 1 else ''} ({machine.seen_by})"
    visible = _visible(machine, devices)
    if visible == 0:
        variable = "HIP_VISIBLE_DEVICES" if hip else "CUDA_VISIBLE_DEVICES"
        # Hidden on purpose, so this is no hardware that fails.
        return accel.Probe(
            available=False,
            reason=f"{found}, all hidden by {variable}={machine.visible}",
            cure=f"unset {variable}",
            details=details,
        )
    missing = _missing(machine, hip)
    if missing is not None:
        reason, cure = missing
        return accel.Probe(
            available=False,
            reason=f"{found}, but {reason}",
            cure=cure,
            hardware_present=True,
            details=details,
        )
    return accel.Probe(available=True, reason=found, device_count=visible, details=details)


def _missing(machine: Machine, hip: bool) -> tuple[str, str] | None:
    """The first thing without which the devices cannot be used, and what cures that."""
    if hip and not machine.hip_driver:
        return (
            f"the HIP runtime cannot be opened: {machine.hip_error}",
            "install ROCm (DTK on Hygon), or add its lib folder to LD_LIBRARY_PATH",
        )
    if not hip and not machine.cuda_driver:
        return (
            f"the driver cannot be opened: {machine.cuda_error}",
            "install the NVIDIA driver, or start the container with its GPUs"
            " (docker run --gpus all)",
        )
    built_for = machine.torch_hip if hip else machine.torch_cuda
    if not machine.torch_version:
        return "torch is not installed", "install a torch built for this machine's driver"
    if not built_for:
        name, wanted = ("ROCm", "ROCm") if hip else ("CUDA", _cuda(machine.cuda_version))
        return (
            f"torch {machine.torch_version} is built without {name}",
            f"install a torch built for {wanted or 'CUDA'}",
        )
    return None


def _visible(machine: Machine, devices: int) -> int:
    """How many devices the driver will show: the variable's list ends at the first bad entry."""
    if machine.visible is None:
        return devices
    count = 0
    for entry in (e.strip() for e in machine.visible.split(",")):
        if entry.isdigit():
            good = int(entry) < devices
        elif entry.startswith(("GPU-", "MIG-")):
            known = [u for u in machine.uuids if u.startswith(entry)]
            good = entry.startswith("MIG-") or not machine.uuids or len(known) == 1
        else:
            good = False
        if not good:
            break
        count += 1
    return count


def _details(machine: Machine, hip: bool) -> dict[str, str]:
    torch = machine.torch_version or "not installed"
    if machine.torch_cuda:
        torch += f", for CUDA {machine.torch_cuda}"
    elif machine.torch_hip:
        torch += f", for ROCm {machine.torch_hip}"
    elif machine.torch_version:
        torch += ", without CUDA and ROCm"
    details = {}
    if hip:
        details["driver"] = machine.hip_driver or f"missing: {machine.hip_error}"
    elif machine.cuda_driver:
        details["driver"] = f"{machine.cuda_driver}, {_cuda(machine.cuda_version)}"
    else:
        details["driver"] = f"missing: {machine.cuda_error or 'libcuda.so.1 is not there'}"
    details["torch"] = torch
    name = "hiprtc" if hip else "nvrtc"
    wheel = "install ROCm's hiprtc" if hip else "pip install nvidia-cuda-nvrtc"
    details[name] = machine.compiler or (
        f"missing: kernels that are not in the cache cannot be compiled; {wheel}"
    )
    if machine.visible is not None:
        details["visible devices"] = machine.visible or "none"
    return details


def _cuda(version: int) -> str:
    return f"CUDA {version // 1000}.{version % 1000 // 10}" if version else ""


# --- looking ----------------------------------------------------------------------------------


def look(root: Path = Path("/")) -> Machine:
    """Device files under ``root``, the vendors' libraries, torch's version file."""
    torch_version, torch_cuda, torch_hip = _torch()
    uuids = _nvml_uuids() if root == Path("/") else None
    nvidia, seen_by = (len(uuids), "NVML") if uuids is not None else _nvidia_files(root)
    amd = 0
    if nvidia == 0:
        amd, seen_by = _amd_nodes(root), "/dev/kfd"
    cuda_driver, cuda_version, cuda_error = _cuda_driver()
    hip_driver, hip_error = _hip_driver()
    variable = "HIP_VISIBLE_DEVICES" if torch_hip else "CUDA_VISIBLE_DEVICES"
    return Machine(
        nvidia=nvidia,
        amd=amd,
        seen_by=seen_by if nvidia or amd else "",
        uuids=tuple(uuids or ()),
        cuda_driver=cuda_driver,
        cuda_version=cuda_version,
        cuda_error=cuda_error,
        hip_driver=hip_driver,
        hip_error=hip_error,
        torch_version=torch_version,
        torch_cuda=torch_cuda,
        torch_hip=torch_hip,
        compiler=_compiler(bool(torch_hip)),
        visible=os.environ.get(variable),
    )


def _nvidia_files(root: Path) -> tuple[int, str]:
    numbered = [p for p in root.glob("dev/nvidia[0-9]*") if p.name[6:].isdigit()]
    if numbered:
        return len(numbered), "/dev/nvidia*"
    listed = len(list(root.glob("proc/driver/nvidia/gpus/*")))
    if listed:
        return listed, "/proc/driver/nvidia"
    return (1, "/dev/dxg") if (root / "dev/dxg").exists() and _can_open("libcuda.so.1") else (0, "")


def _amd_nodes(root: Path) -> int:
    """Topology nodes that have SIMD units; a node without is a processor."""
    if not (root / "dev/kfd").exists():
        return 0
    count = 0
    for file in root.glob("sys/class/kfd/kfd/topology/nodes/*/properties"):
        try:
            text = file.read_text()
        except OSError:
            continue
        found = re.search(r"^simd_count\s+(\d+)", text, re.MULTILINE)
        count += found is not None and int(found[1]) > 0
    return count


def _nvml_uuids() -> list[str] | None:
    """The devices by NVML, which leaves the CUDA driver alone; None where it cannot say."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        if nvml.nvmlInit_v2() != 0:
            return None
    except (OSError, AttributeError):
        return None
    try:
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return None
        uuids = []
        for index in range(count.value):
            device, text = ctypes.c_void_p(), ctypes.create_string_buffer(96)
            if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) != 0:
                return None
            known = nvml.nvmlDeviceGetUUID(device, text, len(text)) == 0
            uuids.append(text.value.decode("ascii", "replace") if known else "")
        return uuids
    except AttributeError:
        return None
    finally:
        nvml.nvmlShutdown()


def _cuda_driver() -> tuple[str, int, str]:
    """``(library, newest CUDA, error)``; asking for the version does not start the driver."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return "", 0, str(error)
    version = ctypes.c_int()
    try:
        library.cuDriverGetVersion(ctypes.byref(version))
    except AttributeError:
        return "", 0, "libcuda.so.1 is not a CUDA driver"
    return "libcuda.so.1", version.value, ""


def _hip_driver() -> tuple[str, str]:
    error = ""
    for name in _HIP_DRIVERS:
        # Loading the HIP runtime starts nothing by itself, but is slow: look for the file first.
        if not _somewhere(name):
            continue
        try:
            ctypes.CDLL(name)
            return name, ""
        except OSError as failure:
            error = str(failure)
    return "", error or "libamdhip64.so is not there"


def _somewhere(name: str) -> bool:
    """In ROCm's usual folder, on LD_LIBRARY_PATH, or brought along by torch."""
    folders = [Path("/opt/rocm/lib"), Path("/opt/dtk/lib")]
    folders += [Path(p) for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p]
    spec = find_spec("torch")
    if spec is not None and spec.origin:
        folders.append(Path(spec.origin).parent / "lib")
    return any((folder / name).exists() for folder in folders)


def _can_open(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _torch() -> tuple[str, str, str]:
    """torch's version and what it was built for, read from its version file."""
    spec = find_spec("torch")
    if spec is None or not spec.origin:
        return "", "", ""
    try:
        text = (Path(spec.origin).parent / "version.py").read_text()
    except OSError:
        return "unknown", "", ""

    def value(name: str) -> str:
        found = re.search(rf"^{name}\b[^=\n]*=\s*'([^']*)'", text, re.MULTILINE)
        return found[1] if found else ""

    return value("__version__") or "unknown", value("cuda"), value("hip")


def _compiler(hip: bool) -> str:
    """NVRTC's (hiprtc's) library: in NVIDIA's wheel, in a toolkit, or where the loader looks."""
    stem = "libhiprtc.so*" if hip else "libnvrtc.so*"
    folders: list[Path] = []
    spec = find_spec("nvidia")
    for base in spec.submodule_search_locations or () if spec else ():
        folders += [p.parent for p in Path(base).glob(f"*/lib/{stem}")]
    roots = ("/opt/rocm", "/opt/dtk") if hip else ("/usr/local/cuda",)
    for root in (os.environ.get("CUDA_HOME", ""), os.environ.get("CUDA_PATH", ""), *roots):
        if root:
            folders += [Path(root) / "lib64", Path(root) / "lib"]
    folders += [Path(p) for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p]
    for folder in folders:
        found = sorted(p for p in folder.glob(stem) if "builtins" not in p.name)
        if found:
            return str(found[0])
    return ""


def _given_driver(path: str) -> accel.Probe:
    details = {"driver": f"{path} ({DRIVER_VARIABLE})"}
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        return accel.Probe(
            available=False,
            reason=f"{DRIVER_VARIABLE}={path} cannot be opened: {error}",
            cure=f"correct or unset {DRIVER_VARIABLE}",
            hardware_present=True,
            details=details,
        )
    simulated = hasattr(library, SIMULATED_SYMBOL)
    count = ctypes.c_int(0)
    result = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if result != 0 or count.value == 0:
        return accel.Probe(
            available=False,
            reason=f"the driver {path} has no device (error {result})",
            cure=f"correct or unset {DRIVER_VARIABLE}",
            hardware_present=True,
            details=details,
        )
    said = "simulated devices" if simulated else "devices"
    return accel.Probe(
        available=True,
        reason=f"{count.value} {said} of {path} ({DRIVER_VARIABLE})",
        device_count=count.value,
        simulated=simulated,
        details=details,
    )
