"""``python -m accel_tools`` is the ``accel`` command."""

from accel_tools.cli import main

main()
