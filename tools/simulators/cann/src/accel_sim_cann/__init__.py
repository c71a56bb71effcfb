"""The CANN simulator's libraries. Importing this activates nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["__version__", "library_folder"]

__version__ = "0.1.0"


def library_folder() -> Path:
    """The folder of libascendcl.so and the others, as installed (also by an editable install).

    Raises:
        FileNotFoundError: the libraries were not built; the text names the folders looked in.
    """
    folders = [Path(path) / "lib" for path in __path__]
    for folder in folders:
        if (folder / "libascendcl.so").exists():
            return folder
    looked = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(
        f"accel-sim-cann has no libraries in {looked}: "
        "install it with `pip install`, which builds them"
    )
