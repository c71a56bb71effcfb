"""Standing between a program and a built backend: what ``ACCEL_BLOCKING`` and the sanitizer use."""
