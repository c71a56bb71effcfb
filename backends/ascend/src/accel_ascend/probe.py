"""Whether an NPU is here: found without torch and torch_npu, and without opening a device.

libascendcl is opened and asked for its devices; device files and ``npu-smi`` only help to say what
is missing. No context is made, so a program may still fork its workers.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import accel

__all__ = ["LIBRARY_VARIABLE", "SIMULATED_SYMBOL", "Machine", "judge", "look", "probe"]

#: The ACL library to open instead of the one that the loader finds: for tests.
LIBRARY_VARIABLE = "ACCEL_ASCEND_LIBRARY"
#: Exported by a library that only acts as CANN; what it gives is its name.
SIMULATED_SYMBOL = "accel_simulator"

LIBRARY = "libascendcl.so"
VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"
SET_ENV = "source /usr/local/Ascend/ascend-toolkit/set_env.sh"
_INSTALLED = (
    "usr/local/Ascend/ascend-toolkit/latest",
    "usr/local/Ascend/cann",
    "usr/local/Ascend/nnrt/latest",
)


@dataclass(frozen=True)
class Machine:
    """What was found. Empty strings and zero: nothing."""

    nodes: int = 0  #: device files
    npu_smi: str = ""
    library: str = ""  #: libascendcl as it was opened
    library_error: str = ""  #: why it cannot be
    unset: str = ""  #: a libascendcl on disk that the loader does not find
    devices: int = 0  #: as libascendcl says
    device_error: int = 0  #: what aclrtGetDeviceCount returned
    cann: str = ""  #: CANN's version
    simulator: str = ""  #: the simulator's name for itself
    torch_version: str = ""
    torch_npu_version: str = ""
    autoload: bool = True  #: `import torch` will load torch_npu
    visible: str | None = None  #: ASCEND_RT_VISIBLE_DEVICES


def probe() -> accel.Probe:
    """Look at this machine. Never raises."""
    return judge(look())


# --- what follows from what was found ---------------------------------------------------------


def judge(machine: Machine) -> accel.Probe:
    """Whether the backend can be built on ``machine``; else what is missing, and its cure."""
    details = _details(machine)
    seen = machine.nodes > 0
    if not machine.library:
        if machine.unset:
            found, cure = f"CANN is at {machine.unset}, but not set up in this shell", SET_ENV
        else:
            found = f"no CANN ({machine.library_error or LIBRARY + ' is not there'})"
            install = f"install CANN, then `{SET_ENV}`"
            cure = install if seen else f"run on a machine with an NPU, and {install}"
        if machine.torch_npu_version and machine.autoload:
            found += (
                f"; torch-npu {machine.torch_npu_version} is installed, and makes `import torch`"
                " fail without CANN"
            )
            cure += (
                "; until then TORCH_DEVICE_BACKEND_AUTOLOAD=0 lets `import torch` work, as does"
                " `pip uninstall torch-npu`"
            )
        reason = f"{_count(machine.nodes)} ({_seen_by(machine)}), but {found}" if seen else found
        return accel.Probe(
            available=False, reason=reason, cure=cure, hardware_present=seen, details=details
        )
    if machine.devices == 0:
        return _no_devices(machine, details)
    kind = "simulated NPU" if machine.simulator else "NPU"
    found = f"{machine.devices} {kind}{'s' if machine.devices != 1 else ''}"
    missing = _missing_package(machine)
    if missing is not None:
        reason, cure = missing
        return accel.Probe(
            available=False,
            reason=f"{found}, but {reason}",
            cure=cure,
            hardware_present=True,
            simulated=bool(machine.simulator),
            details=details,
        )
    by = machine.simulator or f"CANN {machine.cann}".rstrip()
    return accel.Probe(
        available=True,
        reason=f"{found} ({by})",
        device_count=machine.devices,
        simulated=bool(machine.simulator),
        details=details,
    )


def _no_devices(machine: Machine, details: dict[str, str]) -> accel.Probe:
    if machine.visible is not None and machine.nodes:
        # Hidden on purpose, so this is no hardware that fails.
        return accel.Probe(
            available=False,
            reason=f"{_count(machine.nodes)}, all hidden by {VISIBLE}={machine.visible}",
            cure=f"unset {VISIBLE}",
            details=details,
        )
    error = f" (aclrtGetDeviceCount: {machine.device_error})" if machine.device_error else ""
    if machine.nodes:
        return accel.Probe(
            available=False,
            reason=f"{_count(machine.nodes)} ({_seen_by(machine)}), but CANN sees none{error}",
            cure="start the container with its NPUs (--device /dev/davinci0 --device"
            " /dev/davinci_manager ...), install the driver that CANN needs, or see `npu-smi info`",
            hardware_present=True,
            details=details,
        )
    return accel.Probe(
        available=False,
        reason=f"CANN is installed, but there is no NPU{error}",
        cure="run on a machine with an NPU, or start the container with its NPUs",
        details=details,
    )


def _missing_package(machine: Machine) -> tuple[str, str] | None:
    """Of torch and torch_npu: the first thing that is wrong, and its cure."""
    if not machine.torch_version:
        return "torch is not installed", "`pip install 'accel-ascend[torch-npu]'`"
    torch_minor = _minor(machine.torch_version)
    if not machine.torch_npu_version:
        fitting = f"=={torch_minor}.*" if torch_minor else ""
        return (
            "torch-npu is not installed",
            f"`pip install 'torch-npu{fitting}'`, for torch {machine.torch_version}",
        )
    npu_minor = _minor(machine.torch_npu_version)
    if torch_minor and npu_minor and torch_minor != npu_minor:
        return (
            f"torch-npu {machine.torch_npu_version} is not for torch {machine.torch_version}",
            f"`pip install 'torch-npu=={torch_minor}.*'`, or `pip install 'torch=={npu_minor}.*'`",
        )
    return None


def _details(machine: Machine) -> dict[str, str]:
    if machine.library:
        library = machine.library + (f", CANN {machine.cann}" if machine.cann else "")
    else:
        library = f"missing: {machine.library_error or LIBRARY + ' is not there'}"
    details = {
        "CANN": library,
        "torch": machine.torch_version or "not installed",
        "torch-npu": machine.torch_npu_version or "not installed",
    }
    if machine.simulator:
        details["simulator"] = machine.simulator
    if machine.npu_smi:
        details["npu-smi"] = machine.npu_smi
    if machine.visible is not None:
        details["visible devices"] = machine.visible or "none"
    return details


def _count(nodes: int) -> str:
    return f"{nodes} NPU{'s' if nodes != 1 else ''}"


def _seen_by(machine: Machine) -> str:
    return "/dev/davinci*" if machine.nodes else "npu-smi"


def _minor(version: str) -> str:
    found = re.match(r"(\d+\.\d+)", version)
    return found[1] if found else ""


# --- looking ----------------------------------------------------------------------------------


def look(root: Path = Path("/")) -> Machine:
    """Device files under ``root``, the ACL library, torch's and torch_npu's version files."""
    nodes = sum(1 for p in root.glob("dev/davinci[0-9]*") if p.name[7:].isdigit())
    library, name, error = _open()
    devices = device_error = 0
    cann = simulator = unset = ""
    if library is not None:
        devices, device_error = _device_count(library)
        cann = _cann_version(library)
        simulator = _simulator(library)
    else:
        unset = _installed(root)
    return Machine(
        nodes=nodes,
        npu_smi=shutil.which("npu-smi") or "",
        library=name,
        library_error=error,
        unset=unset,
        devices=devices,
        device_error=device_error,
        cann=cann,
        simulator=simulator,
        torch_version=_version_of("torch"),
        torch_npu_version=_version_of("torch_npu"),
        autoload=os.environ.get("TORCH_DEVICE_BACKEND_AUTOLOAD", "1") == "1",
        visible=os.environ.get(VISIBLE),
    )


def library_names() -> list[str]:
    """Where libascendcl may be, in the order in which to try: as torch_npu's own loading has it."""
    given = os.environ.get(LIBRARY_VARIABLE, "")
    if given:
        return [given]
    names = [LIBRARY]
    spec = find_spec("torch_npu")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        beside = Path(folder).parent / "torch_npu.libs" / LIBRARY
        if beside.exists():
            names.append(str(beside))
    return names


def _open() -> tuple[ctypes.CDLL | None, str, str]:
    """``(library, its name, why not)``."""
    errors = []
    for name in library_names():
        try:
            library = ctypes.CDLL(name)
        except OSError as error:
            errors.append(str(error))
            continue
        if not hasattr(library, "aclrtGetDeviceCount"):
            errors.append(f"{name} is not CANN's: it has no aclrtGetDeviceCount")
            continue
        return library, name, ""
    return None, "", "; ".join(errors)


def _device_count(library: ctypes.CDLL) -> tuple[int, int]:
    count = ctypes.c_uint32(0)
    result = int(library.aclrtGetDeviceCount(ctypes.byref(count)))
    return (count.value, 0) if result == 0 else (0, result)


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


def _simulator(library: ctypes.CDLL) -> str:
    try:
        name = getattr(library, SIMULATED_SYMBOL)
    except AttributeError:
        return ""
    name.restype = ctypes.c_char_p
    text = name()
    return bytes(text).decode("utf-8", "replace") if text else "a simulator"


def _installed(root: Path) -> str:
    """A libascendcl on disk, by the toolkit's variables and where its installer puts it."""
    homes = [
        Path(os.environ[v])
        for v in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
        if os.environ.get(v)
    ]
    for home in (*homes, *(root / place for place in _INSTALLED)):
        for folder in ("lib64", "runtime/lib64", "lib"):
            if (home / folder / LIBRARY).exists():
                return str(home)
    return ""


def _version_of(package: str) -> str:
    """The version in the package's version file: it is not imported."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.origin:
        return ""
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    found = re.search(r"^__version__\b[^=\n]*=\s*['\"]([^'\"]*)['\"]", text, re.MULTILINE)
    return found[1] if found else "unknown"
