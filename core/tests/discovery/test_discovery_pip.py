"""A plugin installed by pip itself, then taken apart as an interrupted pip leaves it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "acme-accel"
version = "3.2.1"

[project.entry-points."accel.backends"]
acme = "acme_accel.plugin"

[tool.setuptools]
packages = ["acme_accel"]
"""


def pip_install(tree: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", str(target), str(tree)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_installed_by_pip_and_half_uninstalled(site: Any, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    package = tree / "acme_accel"
    package.mkdir(parents=True)
    (tree / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(site.source("acme", priority=0))
    pip_install(tree, site.root)
    code = """
    case("get", lambda: accel.get_backend("acme"))
    case("automatic", accel.get_backend)
    case("available", accel.available_backends)
    found = accel.explain().candidates
    case("explain", lambda: [(c.distribution, c.version, c.status) for c in found])
    """
    results = site.run(code)
    assert results["get"]["value"] == results["automatic"]["value"] == "acme"
    assert results["explain"]["value"] == [["acme-accel", "3.2.1", "usable"]]

    shutil.rmtree(site.root / "acme_accel")
    results = site.run(code)
    for label in ("get", "automatic"):
        assert results[label]["error"] == "PluginError", results[label]
        assert "acme-accel 3.2.1 is half uninstalled" in results[label]["text"]
        assert "`pip install --force-reinstall acme-accel`" in results[label]["cure"]
    assert results["available"]["value"] == []

    (info,) = site.root.glob("acme_accel-*.dist-info")
    for gone in ("METADATA", "RECORD"):
        (info / gone).unlink()
    results = site.run(code)
    assert results["get"]["error"] == "PluginError"
    assert "acme-accel 3.2.1 is half uninstalled" in results["get"]["text"]
    assert str(info) in results["get"]["cure"], "pip cannot uninstall what has no METADATA"
    assert results["explain"]["value"] == [["acme-accel", "3.2.1", "broken"]]
