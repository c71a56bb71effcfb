"""Communicators over torch.distributed, shared by all backends.

``register_channel`` adds a vendor's transport; :class:`TorchCollectives` is the provider that a
plugin's ``accel_collectives`` factory returns, or subclasses. torch is imported when a
communicator is made, not before.
"""

from .channels import (
    ANY_DEVICE,
    CHANNEL_ORDER,
    Channel,
    channels_for,
    register_channel,
    unregister_channel,
    usable_channels,
)
from .provider import TorchCollectives

__all__ = [
    "ANY_DEVICE",
    "CHANNEL_ORDER",
    "Channel",
    "TorchCollectives",
    "channels_for",
    "register_channel",
    "unregister_channel",
    "usable_channels",
]
