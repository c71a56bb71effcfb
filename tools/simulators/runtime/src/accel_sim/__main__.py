"""``python -m accel_sim`` is the ``accel-sim`` command."""

from accel_sim.cli import main

main(prog_name="accel-sim")
