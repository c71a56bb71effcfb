"""What devices that torch reaches through a vendor's package have in common.

Keyed by (device type, package, torch.distributed backend): names of backends alone collide between
vendors. A plugin describes its vendor in a :class:`TorchVendor` and adds what only it has.
Importing this imports no torch; the modules ``streams`` and ``events`` do.
"""

from .vendor import KNOWN_DRIVERS, TorchVendor

__all__ = ["KNOWN_DRIVERS", "TorchVendor"]
