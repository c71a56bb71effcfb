"""Whether an accelerator is here, without torch and without initialising the driver."""

from __future__ import annotations

import accel


def probe() -> accel.Probe:
    return accel.Probe(available=False, reason="no NVIDIA or AMD device was found")
