"""accel on the CPU: a fast native backend (``cpu``) and a plain-torch one (``cpu-reference``)."""
