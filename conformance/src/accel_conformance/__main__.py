"""``python -m accel_conformance`` is ``accel-conformance``."""

from .cli import main

main(prog_name="accel-conformance")
