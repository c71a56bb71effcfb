"""accel on Cambricon MLUs. ``accel.get_backend("mlu")`` is the way in."""
