"""The folder that programs of the simulator have first on their Python path."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .names import TorchName

__all__ = ["real_package", "site_folder"]

_METADATA = """Metadata-Version: 2.1
Name: {distribution}
Version: 0.1.0+simulated
Summary: A simulated {package}: no device of the vendor's is behind it
"""


def site_folder(name: TorchName) -> Path:
    """The folder that holds the package ``name.package`` and the entry that torch autoloads.

    For another vendor's names it is made in the user's cache, anew if it is damaged.
    """
    own = Path(__file__).parent.parent / "site"
    if name.package == TorchName().package:
        return own
    folder = _cache() / str(name).replace(":", "-")
    source = (own / "torch_mlu" / "__init__.py").read_text(encoding="utf-8")
    information = folder / f"{name.package}-0.1.0+simulated.dist-info"
    _write(folder / name.package / "__init__.py", source)
    distribution = name.package.replace("_", "-")
    _write(
        information / "METADATA",
        _METADATA.format(distribution=distribution, package=name.package),
    )
    _write(
        information / "entry_points.txt",
        f"[torch.backends]\n{name.package} = {name.package}:_autoload\n",
    )
    return folder


def real_package(package: str, path: Iterable[str]) -> Path | None:
    """The first package of that name on a path that is no simulated one; nothing is imported."""
    for entry in path:
        start = Path(entry or ".") / package / "__init__.py"
        try:
            text = start.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if "__simulated__ = True" not in text:
            return start.parent
    return None


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "accel-sim" / "sites"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"accel-sim-{os.getuid()}" / "sites"
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    return folder


def _write(path: Path, text: str) -> None:
    """Writes what is not there yet; others that read it at the same time see all or nothing."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).chmod(0o644)
    os.replace(temporary, path)
