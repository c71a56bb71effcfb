"""The ``accel`` command: diagnosis, listing and benchmarks of accel backends."""
