"""``accel bench pipeline``: prefetching layers, against copying and computing in turn."""
