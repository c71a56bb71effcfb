"""The plain-torch providers of ``cpu-reference``."""
