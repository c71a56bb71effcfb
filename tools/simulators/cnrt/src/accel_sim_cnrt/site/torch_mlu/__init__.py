"""A simulated device of torch, on accel's CNRT simulator. No hardware is behind it.

Importing this package adds the device to torch, as the vendor's package does.
"""

__simulated__ = True
__version__ = "0.1.0+simulated"


def _autoload() -> None:
    """What torch calls at the end of its import: importing this package was all."""


from accel_sim_cnrt.torch_device import present  # noqa: E402 - torch may ask for _autoload first

present(__name__)
