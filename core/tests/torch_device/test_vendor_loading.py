"""A vendor's package is imported when it is needed, whoever comes first, and once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: A package that adds a device to torch as the vendors' packages do.
PACKAGE = """
import types, torch
print("imported")
torch.utils.rename_privateuse1_backend("{device}")
torch._register_device_module("{device}", types.SimpleNamespace(current_stream=lambda: None))
"""

VENDOR = """
from accel.torch_device import TorchVendor
vendor = TorchVendor("acme", "torch_acme", "accl", "torch-acme")
"""


def run(folder: Path, program: str, *, autoload: bool = False) -> tuple[list[str], str]:
    """Lines of stdout and the last of stderr; the fixture packages are on the path."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "1" if autoload else "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    errors = done.stderr.strip().splitlines()
    return done.stdout.splitlines(), errors[-1] if done.returncode else ""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    (tmp_path / "torch_acme.py").write_text(PACKAGE.format(device="acme"))
    (tmp_path / "torch_other.py").write_text(PACKAGE.format(device="other"))
    return tmp_path


@pytest.mark.parametrize(
    "before",
    ["", "import torch", "import torch, torch_acme"],
    ids=["nothing imported", "torch imported", "the package imported"],
)
def test_imported_once(packages: Path, before: str) -> None:
    lines, error = run(
        packages,
        f"{before}\n{VENDOR}\n"
        "space = vendor.load()\n"
        "import torch\n"
        "assert space is torch.acme is vendor.load()\n",
    )
    assert error == ""
    assert lines == ["imported"]


def test_autoloaded(packages: Path) -> None:
    """torch's own loading comes first, and is not repeated."""
    metadata = packages / "torch_acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[torch.backends]\ntorch_acme = torch_acme:load\n")
    with (packages / "torch_acme.py").open("a") as file:
        file.write("def load():\n    print('autoloaded')\n")
    lines, error = run(packages, f"{VENDOR}\nvendor.load()", autoload=True)
    assert error == ""
    assert lines == ["imported", "autoloaded"]


def test_not_installed(tmp_path: Path) -> None:
    _, error = run(tmp_path, f"{VENDOR}\nvendor.load()")
    assert error.startswith("accel.errors.BackendUnavailableError: torch_acme, which adds acme")
    assert "`pip install torch-acme`" in error


def test_broken(packages: Path) -> None:
    (packages / "torch_acme.py").write_text("raise ImportError('libacme.so: no such file')")
    _, error = run(packages, f"{VENDOR}\nvendor.load()")
    assert error.startswith("accel.errors.TorchImportError: `import torch_acme` fails: ImportError")
    assert "libacme.so" in error


def test_a_dependency_is_missing(packages: Path) -> None:
    """Not to be taken for the package itself."""
    (packages / "torch_acme.py").write_text("import a_module_that_is_nowhere")
    _, error = run(packages, f"{VENDOR}\nvendor.load()")
    assert "TorchImportError" in error
    assert "a_module_that_is_nowhere" in error


def test_another_vendor_was_first(packages: Path) -> None:
    _, error = run(packages, f"import torch, torch_other\n{VENDOR}\nvendor.load()")
    assert "BackendUnavailableError" in error
    assert "the package of device 'other' has torch's only place" in error
