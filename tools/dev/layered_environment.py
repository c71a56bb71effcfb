"""Make a virtual environment that sees everything of the one which runs this, and adds to it.

    .venv/bin/python tools/dev/layered_environment.py .venv-ascend

What is installed in the new one comes first and stays there: torch-npu, which breaks `import torch`
wherever CANN is missing, thus never gets into the shared environment. Needs nothing installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

#: Sorts last, so that what is installed in the environment itself is found first.
POINTER = "zz_layer.pth"


def make(folder: Path) -> None:
    """Create the environment, or complete it; what is installed in it stays."""
    below = Path(sysconfig.get_path("purelib")).resolve()
    settings = Path(sys.prefix, "pyvenv.cfg")
    text = settings.read_text(encoding="utf-8") if settings.exists() else ""
    lends = "include-system-site-packages = true" in text.lower()
    # pip is the lower environment's, seen through the pointer.
    venv.create(folder, system_site_packages=lends, symlinks=True, with_pip=False)
    ask = [str(folder / "bin" / "python"), "-c"]
    ask.append("import sysconfig; print(sysconfig.get_path('purelib'))")
    done = subprocess.run(ask, check=True, capture_output=True, text=True)
    # addsitedir, not a plain path: the lower environment's own .pth files, those of editable
    # installs, are to work here as well.
    line = f"import site; site.addsitedir({str(below)!r})\n"
    Path(done.stdout.strip(), POINTER).write_text(line, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    make(parser.parse_args().folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
