"""Whether a vendor's devices are here: found without torch and the vendor's package.

The runtime library is opened and asked for its devices; device files and the vendor's tool only
help to say what is missing. No context is made, so a program may still fork its workers. A plugin
describes its stack in a :class:`DriverStack`; what is found and what follows from it are separate,
so that every answer can be tested without a device.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from ..backend_info import Probe
from ..torch_import import AUTOLOAD_SWITCH
from .vendor import TorchVendor

__all__ = ["SIMULATED_SYMBOL", "DriverStack", "Machine"]

#: Exported by a library that only acts as the vendor's; what it gives is its name.
SIMULATED_SYMBOL = "accel_simulator"


@dataclass(frozen=True)
class DriverStack:
    """What a vendor's stack is called, where it lies, and what cures its absence.

    Attributes:
        vendor: the package that adds the devices to torch.
        device: one of them in messages: "NPU".
        name: the stack's: "CANN".
        library: its runtime library, for the loader; ``library_variable`` names another one, for
            tests.
        count: the library's function that fills in an unsigned number of devices.
        version: asks an opened library for the stack's version; empty where it does not say.
        node: device files are ``/dev/<node><number>``.
        tool: the vendor's command that lists devices.
        visible: the variable that hides devices.
        setup: the command that makes an installed stack known to a shell.
        homes: variables that name the stack's folder; ``places`` are where its installer puts it,
            below the root, and ``folders`` where the library is in there.
        beside: a folder next to the package that may hold the library.
        container: what gives a container its devices.
        package_cure: how the package is installed; ``{minor}`` is torch's minor release.
        torch_of: finds torch's minor release in the package's version.
        torch_cure: how torch and the package are installed together.
    """

    vendor: TorchVendor
    device: str
    name: str
    library: str
    library_variable: str
    count: str
    version: Callable[[ctypes.CDLL], str]
    node: str
    tool: str
    visible: str
    setup: str
    homes: tuple[str, ...]
    places: tuple[str, ...]
    folders: tuple[str, ...]
    container: str
    package_cure: str
    torch_cure: str
    torch_of: str = r"(\d+\.\d+)"
    beside: str = ""

    def probe(self) -> Probe:
        """Look at this machine. Never raises."""
        return self.judge(self.look())

    def judge(self, machine: Machine) -> Probe:
        """Whether the backend can be built on ``machine``; else what is missing, and its cure."""
        return _judge(self, machine)

    def look(self, root: Path = Path("/")) -> Machine:
        """What is on this machine: device files under ``root``, the library, torch's and the
        package's version files."""
        return _look(self, root)

    def library_names(self) -> list[str]:
        """Where the library may be, in the order in which to try."""
        return _library_names(self)


@dataclass(frozen=True)
class Machine:
    """What was found. Empty strings and zero: nothing."""

    nodes: int = 0  #: device files
    tool: str = ""
    library: str = ""  #: as it was opened
    library_error: str = ""  #: why it cannot be
    unset: str = ""  #: a stack on disk that the loader does not find
    devices: int = 0  #: as the library says
    device_error: int = 0  #: what its function returned
    version: str = ""  #: of the stack
    simulator: str = ""  #: the simulator's name for itself
    torch_version: str = ""
    package_version: str = ""
    autoload: bool = True  #: `import torch` will load the package
    visible: str | None = None  #: the variable that hides devices


# --- what follows from what was found ---------------------------------------------------------


def _judge(stack: DriverStack, machine: Machine) -> Probe:
    details = _details(stack, machine)
    if not machine.library:
        return _no_library(stack, machine, details)
    if machine.devices == 0:
        return _no_devices(stack, machine, details)
    kind = f"simulated {stack.device}" if machine.simulator else stack.device
    found = f"{machine.devices} {kind}{'s' if machine.devices != 1 else ''}"
    missing = _missing_package(stack, machine)
    if missing is not None:
        reason, cure = missing
        return Probe(
            available=False,
            reason=f"{found}, but {reason}",
            cure=cure,
            hardware_present=True,
            simulated=bool(machine.simulator),
            details=details,
        )
    by = machine.simulator or f"{stack.name} {machine.version}".rstrip()
    return Probe(
        available=True,
        reason=f"{found} ({by})",
        device_count=machine.devices,
        simulated=bool(machine.simulator),
        details=details,
    )


def _no_library(stack: DriverStack, machine: Machine, details: dict[str, str]) -> Probe:
    seen = machine.nodes > 0
    if machine.unset:
        found = f"{stack.name} is at {machine.unset}, but not set up in this shell"
        cure = stack.setup
    else:
        found = f"no {stack.name} ({_why_no_library(stack, machine)})"
        install = f"install {stack.name}, then `{stack.setup}`"
        cure = install if seen else f"run on a machine with an {stack.device}, and {install}"
    package = stack.vendor.distribution
    if machine.package_version and machine.autoload:
        found += (
            f"; {package} {machine.package_version} is installed, and makes `import torch`"
            f" fail without {stack.name}"
        )
        cure += (
            f"; until then {AUTOLOAD_SWITCH}=0 lets `import torch` work, as does"
            f" `pip uninstall {package}`"
        )
    count = _count(stack, machine.nodes)
    reason = f"{count} ({_seen_by(stack, machine)}), but {found}" if seen else found
    return Probe(available=False, reason=reason, cure=cure, hardware_present=seen, details=details)


def _no_devices(stack: DriverStack, machine: Machine, details: dict[str, str]) -> Probe:
    count = _count(stack, machine.nodes)
    if machine.visible is not None and machine.nodes:
        # Hidden on purpose, so this is no hardware that fails.
        return Probe(
            available=False,
            reason=f"{count}, all hidden by {stack.visible}={machine.visible}",
            cure=f"unset {stack.visible}",
            details=details,
        )
    error = f" ({stack.count}: {machine.device_error})" if machine.device_error else ""
    if machine.nodes:
        return Probe(
            available=False,
            reason=f"{count} ({_seen_by(stack, machine)}), but {stack.name} sees none{error}",
            cure=f"{stack.container}, install the driver that {stack.name} needs, or see"
            f" `{stack.tool}`",
            hardware_present=True,
            details=details,
        )
    return Probe(
        available=False,
        reason=f"{stack.name} is installed, but there is no {stack.device}{error}",
        cure=f"run on a machine with an {stack.device}, or start the container with its"
        f" {stack.device}s",
        details=details,
    )


def _missing_package(stack: DriverStack, machine: Machine) -> tuple[str, str] | None:
    """Of torch and the vendor's package: the first thing that is wrong, and its cure."""
    if not machine.torch_version:
        return "torch is not installed", stack.torch_cure
    package = stack.vendor.distribution
    minor = _minor(r"(\d+\.\d+)", machine.torch_version)
    fitting = f"install the {package} of torch's minor release"
    if minor:
        fitting = stack.package_cure.format(minor=minor)
    if not machine.package_version:
        return f"{package} is not installed", f"{fitting}, for torch {machine.torch_version}"
    theirs = _minor(stack.torch_of, machine.package_version)
    if minor and theirs and minor != theirs:
        return (
            f"{package} {machine.package_version} is not for torch {machine.torch_version}",
            f"{fitting}, or `pip install 'torch=={theirs}.*'`",
        )
    return None


def _details(stack: DriverStack, machine: Machine) -> dict[str, str]:
    if machine.library:
        by = f", {stack.name} {machine.version}" if machine.version else ""
        library = machine.library + by
    else:
        library = f"missing: {_why_no_library(stack, machine)}"
    details = {
        stack.name: library,
        "torch": machine.torch_version or "not installed",
        stack.vendor.distribution: machine.package_version or "not installed",
    }
    if machine.simulator:
        details["simulator"] = machine.simulator
    if machine.tool:
        details[stack.tool.split()[0]] = machine.tool
    if machine.visible is not None:
        details["visible devices"] = machine.visible or "none"
    return details


def _why_no_library(stack: DriverStack, machine: Machine) -> str:
    return machine.library_error or f"{stack.library} is not there"


def _count(stack: DriverStack, nodes: int) -> str:
    return f"{nodes} {stack.device}{'s' if nodes != 1 else ''}"


def _seen_by(stack: DriverStack, machine: Machine) -> str:
    return f"/dev/{stack.node}*" if machine.nodes else stack.tool.split()[0]


def _minor(pattern: str, version: str) -> str:
    found = re.search(pattern, version)
    return found[1] if found else ""


# --- looking ----------------------------------------------------------------------------------


def _look(stack: DriverStack, root: Path) -> Machine:
    names = [p.name.removeprefix(stack.node) for p in root.glob(f"dev/{stack.node}[0-9]*")]
    library, name, error = _open(stack)
    devices = device_error = 0
    found = simulator = unset = ""
    if library is not None:
        devices, device_error = _device_count(stack, library)
        found = stack.version(library)
        simulator = _simulator(library)
    else:
        unset = _installed(stack, root)
    return Machine(
        nodes=sum(1 for number in names if number.isdigit()),
        tool=shutil.which(stack.tool.split()[0]) or "",
        library=name,
        library_error=error,
        unset=unset,
        devices=devices,
        device_error=device_error,
        version=found,
        simulator=simulator,
        torch_version=_version_of("torch", "torch"),
        package_version=_version_of(stack.vendor.package, stack.vendor.distribution),
        autoload=os.environ.get(AUTOLOAD_SWITCH, "1") == "1",
        visible=os.environ.get(stack.visible),
    )


def _library_names(stack: DriverStack) -> list[str]:
    given = os.environ.get(stack.library_variable, "")
    if given:
        return [given]
    names = [stack.library]
    spec = find_spec(stack.vendor.package) if stack.beside else None
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        beside = Path(folder).parent / stack.beside / stack.library
        if beside.exists():
            names.append(str(beside))
    return names


def _open(stack: DriverStack) -> tuple[ctypes.CDLL | None, str, str]:
    """``(library, its name, why not)``."""
    errors = []
    for name in _library_names(stack):
        try:
            library = ctypes.CDLL(name)
        except OSError as error:
            errors.append(str(error))
            continue
        if not hasattr(library, stack.count):
            errors.append(f"{name} is not {stack.name}'s: it has no {stack.count}")
            continue
        return library, name, ""
    return None, "", "; ".join(errors)


def _device_count(stack: DriverStack, library: ctypes.CDLL) -> tuple[int, int]:
    count = ctypes.c_uint32(0)
    result = int(library[stack.count](ctypes.byref(count)))
    return (count.value, 0) if result == 0 else (0, result)


def _simulator(library: ctypes.CDLL) -> str:
    try:
        name = library[SIMULATED_SYMBOL]
    except AttributeError:
        return ""
    name.restype = ctypes.c_char_p
    text = name()
    return bytes(text).decode("utf-8", "replace") if text else "a simulator"


def _installed(stack: DriverStack, root: Path) -> str:
    """The library on disk, by the stack's variables and where its installer puts it."""
    homes = [Path(os.environ[v]) for v in stack.homes if os.environ.get(v)]
    for home in (*homes, *(root / place for place in stack.places)):
        for folder in stack.folders:
            if (home / folder / stack.library).exists():
                return str(home)
    return ""


def _version_of(package: str, distribution: str) -> str:
    """The version in the package's version file or its metadata: it is not imported."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.origin:
        return ""
    text = ""
    file = Path(spec.origin).parent / "version.py"
    if file.exists():
        try:
            text = file.read_text(encoding="utf-8")
        except OSError:
            return "unknown"
    found = re.search(r"^__version__\b[^=\n]*=\s*['\"]([^'\"]*)['\"]", text, re.MULTILINE)
    if found:
        return found[1]
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
