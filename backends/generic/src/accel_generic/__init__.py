"""accel on devices that have no plugin of their own: torch's API of them, and nothing else."""
