"""An environment of fixture plugins for the `accel` command, which runs in a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import accel
import accel_tools

PLUGIN = """
{top}
import accel

@accel.hookimpl
def accel_backend_info():
    return accel.BackendInfo({name!r}, {device!r}, 1, priority={priority}, summary="a fixture")

@accel.hookimpl
def accel_probe():
    return {probe}

@accel.hookimpl
def accel_memcpy(backend):
    {build}
    memcpy = accel.Memcpy()
    memcpy.capabilities = {{"memcpy.copy": "native", "memcpy.fill": "composed"}}
    memcpy.notes = ("one thread",)
    return memcpy
"""


@dataclass
class CommandSite:
    """Fixture distributions, and the command run with nothing else in its environment."""

    root: Path
    farm: Path
    environment: dict[str, str] = field(default_factory=dict)

    def plugin(
        self,
        name: str,
        *,
        device: str = "cpu",
        priority: int = 0,
        probe: str = "accel.Probe(True, 'a fixture is always there', device_count=1)",
        top: str = "",
        build: str = "",
    ) -> None:
        """Install the distribution ``acme-<name>`` with one plugin."""
        module = f"acme_{name}"
        source = PLUGIN.format(
            name=name, device=device, priority=priority, probe=probe, top=top, build=build
        )
        self.distribution(f"acme-{name}", module, source, "accel.backends", f"{name} = {module}")

    def distribution(
        self, name: str, module: str, source: str, group: str, entry_point: str
    ) -> None:
        (self.root / f"{module}.py").write_text(source)
        info = self.root / f"{name.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry_point}\n")
        (info / "RECORD").write_text(f"{module}.py,,\n{info.name}/METADATA,,\n")

    def accel(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ACCEL_")}
        environment.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)
        environment["PYTHONPATH"] = os.pathsep.join([str(self.root), str(self.farm)])
        environment.update(self.environment)
        return subprocess.run(
            [sys.executable, "-S", "-m", "accel_tools", *arguments],
            env=environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def diagnosis(self) -> tuple[dict[str, Any], int]:
        """``accel doctor --json``, and its exit status."""
        done = self.accel("doctor", "--json")
        assert done.stdout.startswith("{"), done.stdout + done.stderr
        return json.loads(done.stdout), done.returncode


@pytest.fixture(scope="session")
def command_farm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Links to every installed package, less distributions with plugins for accel or torch."""
    farm = tmp_path_factory.mktemp("command-farm")
    for package in (accel, accel_tools):
        (farm / package.__name__).symlink_to(Path(str(package.__file__)).parent)
    for directory in [Path(p) for p in sys.path if p.endswith(("site-packages", "dist-packages"))]:
        for entry in directory.iterdir():
            points = entry / "entry_points.txt"
            if points.is_file() and any(g in points.read_text() for g in ("accel.", "torch.back")):
                continue
            skipped = entry.suffix == ".pth" or entry.name.startswith(("accel", "__editable__"))
            if not skipped and not (farm / entry.name).exists():
                (farm / entry.name).symlink_to(entry)
    return farm


@pytest.fixture
def command_site(tmp_path: Path, command_farm: Path) -> CommandSite:
    root = tmp_path / "site"
    root.mkdir()
    return CommandSite(root, command_farm)
