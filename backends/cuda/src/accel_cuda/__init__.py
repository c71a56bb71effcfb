"""accel on NVIDIA GPUs, and on AMD and Hygon through HIP. Frameworks use it through ``accel``."""
