"""The scripts behind `make conformance-ascend`: its environment, and torch-npu."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DEV = Path(__file__).parents[2] / "dev"
Script = Callable[[str], ModuleType]


def test_layers(tmp_path: Path) -> None:
    """The environment on top sees what is below, its own comes first, and below nothing changes."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(lower)], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"

    def run(folder: Path, code: str) -> str:
        words = [str(folder / "bin" / "python"), "-c", code]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    below = Path(run(lower, ask))
    editable = tmp_path / "editable"
    editable.mkdir()
    (below / "editable.pth").write_text(f"{editable}\n")
    (editable / "from_pth.py").write_text("where = 'below, by a pth'")
    (below / "both.py").write_text("where = 'below'")
    words = [str(lower / "bin" / "python"), str(DEV / "layered_environment.py"), str(upper)]
    subprocess.run(words, check=True)
    Path(run(upper, ask), "both.py").write_text("where = 'above'")
    code = "import both, from_pth; print(both.where, from_pth.where)"
    assert run(upper, code) == "above below, by a pth"
    assert run(lower, code) == "below below, by a pth"
    subprocess.run(words, check=True)  # again: what is installed in it stays
    assert run(upper, code) == "above below, by a pth"


def test_the_environment_below_lends_the_systems_packages(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    words = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(lower)]
    subprocess.run(words, check=True)
    python = str(lower / "bin" / "python")
    subprocess.run([python, str(DEV / "layered_environment.py"), str(upper)], check=True)
    assert "include-system-site-packages = true" in (upper / "pyvenv.cfg").read_text()


class _Pip:
    """Stands for subprocess.run: remembers what pip was asked, and fails if it is to."""

    def __init__(self, fails: bool) -> None:
        self.asked: list[str] = []
        self._fails = fails

    def __call__(self, words: list[str], check: bool) -> Namespace:
        self.asked.append(words[-1])
        return Namespace(returncode=int(self._fails))


@pytest.mark.parametrize(
    ("torch", "asks"), [("2.13.0+cpu", "torch-npu==2.13.0.*"), ("2.7.1", "torch-npu==2.7.1.*")]
)
def test_torch_npu_of_the_installed_torch(
    script: Script, monkeypatch: pytest.MonkeyPatch, torch: str, asks: str
) -> None:
    install, pip = script("install_torch_npu"), _Pip(fails=False)
    monkeypatch.setattr(install.subprocess, "run", pip)
    monkeypatch.setattr(install, "version", {"torch": torch}.get)
    assert install.main() == 0
    assert pip.asked == [asks, "pyyaml"]


def test_torch_npu_is_kept_only_if_it_fits(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    install, pip = script("install_torch_npu"), _Pip(fails=False)
    monkeypatch.setattr(install.subprocess, "run", pip)
    both = {"torch": "2.12.0+cpu", "torch-npu": "2.12.0.post3"}
    monkeypatch.setattr(install, "version", both.get)
    assert install.main() == 0
    assert pip.asked == []
    both["torch"] = "2.13.0+cpu"
    assert install.main() == 0
    assert pip.asked == ["torch-npu==2.13.0.*", "pyyaml"]


def test_a_torch_without_torch_npu_is_told(
    script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install = script("install_torch_npu")
    monkeypatch.setattr(install.subprocess, "run", _Pip(fails=True))
    monkeypatch.setattr(install, "version", {"torch": "2.99.1+cpu"}.get)
    assert install.main() == install.NOT_TO_BE_HAD != 1
    said = capsys.readouterr().out
    assert "no torch-npu 2.99.1 for torch 2.99.1+cpu" in said
    assert "Cure:" in said
