"""accel on Huawei Ascend NPUs. ``accel.get_backend("ascend")`` is the way in."""
