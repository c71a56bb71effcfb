"""Real distributions, generated, installed beside real torch and pluggy and nothing else.

Discovery reads the environment, so every test runs a fresh interpreter. Its path holds the fixture
distributions and a farm of links to the installed packages, less whatever registers a plugin with
accel or torch: what happens to be installed on a developer's machine does not matter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import accel

PRELUDE = """
import json, os, sys, warnings
import accel

results = {}

def case(label, fn, backend=None):
    '''Keep what fn() returns or raises and the warnings it gives, with ACCEL_BACKEND=backend.'''
    os.environ.pop("ACCEL_BACKEND", None)
    if backend is not None:
        os.environ["ACCEL_BACKEND"] = backend
    got = {"value": None, "error": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = fn()
            got["value"] = value.name if isinstance(value, accel.Backend) else value
        except BaseException as error:
            cause = error.__cause__
            got.update(
                error=type(error).__name__,
                text=str(error),
                cure=getattr(error, "cure", None),
                cause=None if cause is None else f"{type(cause).__name__}: {cause}",
                cause_has_traceback=cause is not None and cause.__traceback__ is not None,
            )
    got["warnings"] = [str(w.message) for w in caught if w.category is accel.AccelWarning]
    got["files"] = [w.filename for w in caught if w.category is accel.AccelWarning]
    results[label] = got
"""


def plugin_source(
    name: str,
    *,
    device: str = "cpu",
    priority: object = 100,
    version: str = "1",
    probe: str = "accel.Probe(True, 'found', device_count=2)",
    factories: str = "",
    top: str = "",
) -> str:
    """A sound plugin module, unless the arguments say otherwise."""
    text = f"""
import accel
{textwrap.dedent(top)}

@accel.hookimpl
def accel_backend_info():
    return accel.BackendInfo({name!r}, {device!r}, {version}, priority={priority!r})

@accel.hookimpl
def accel_probe():
    return {probe}
"""
    return text + textwrap.dedent(factories)


@dataclass
class Site:
    """A directory on the path of the interpreters that :meth:`run` starts."""

    root: Path
    farm: Path
    environment: dict[str, str] = field(default_factory=dict)

    def install(
        self,
        distribution: str,
        modules: dict[str, str],
        entry_points: dict[str, str],
        *,
        group: str = "accel.backends",
        version: str = "1.0",
        metadata: bool = True,
        record: bool = True,
        root: Path | None = None,
    ) -> Path:
        """Lay the distribution out as an installer does; returns its dist-info directory."""
        root = root or self.root
        stem = distribution.replace("-", "_")
        info = root / f"{stem}-{version}.dist-info"
        info.mkdir(parents=True)
        files: list[Path] = []
        for module, source in modules.items():
            path = root.joinpath(*module.split(".")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.parent != root:
                (path.parent / "__init__.py").touch()
            path.write_text(source)
            files.append(path)
        if metadata:
            about = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
            (info / "METADATA").write_text(about)
        lines = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        if record:
            listed = [*files, *info.iterdir()]
            (info / "RECORD").write_text(
                "".join(f"{f.relative_to(root).as_posix()},,\n" for f in listed)
            )
        return info

    source = staticmethod(plugin_source)

    def plugin(self, name: str, *, distribution: str = "", **options: Any) -> None:
        """Install a distribution ``acme-<name>`` with one plugin, see :func:`plugin_source`."""
        distribution = distribution or f"acme-{name}"
        module = distribution.replace("-", "_") + "_hooks"
        self.install(distribution, {module: plugin_source(name, **options)}, {name: module})

    def run(self, code: str, *, prelude: str = PRELUDE, path: list[Path] | None = None) -> Any:
        """Run ``code`` after the prelude in a fresh interpreter; returns its ``results``."""
        script = prelude + textwrap.dedent(code) + "\nprint(json.dumps(results))\n"
        done = self.process(["-c", script], path=path)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def process(
        self, arguments: list[str], *, path: list[Path] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ACCEL_")}
        environment.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)
        path = path if path is not None else [self.root, self.farm]
        environment["PYTHONPATH"] = os.pathsep.join(str(p) for p in path)
        environment.update(self.environment)
        # -S: no site-packages and no .pth files but what stands in PYTHONPATH.
        return subprocess.run(
            [sys.executable, "-S", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="session")
def installed_farm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Links to every installed package, less distributions with plugins for accel or torch."""
    farm = tmp_path_factory.mktemp("farm")
    (farm / "accel").symlink_to(Path(accel.__file__).parent, target_is_directory=True)
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
def site(tmp_path: Path, installed_farm: Path) -> Site:
    root = tmp_path / "site"
    root.mkdir()
    return Site(root, installed_farm)
