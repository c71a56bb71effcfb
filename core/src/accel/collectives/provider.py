"""The collectives of any backend, over torch.distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..providers.collectives import Collectives, Communicator
from .channels import channels_for, find_channel, select_channel, usable_channels

if TYPE_CHECKING:
    import torch

    from .channels import Channel

__all__ = ["TorchCollectives"]


class TorchCollectives(Collectives):
    """Makes communicators on ``backend.device`` by the channels registered for its type.

    A plugin registers its vendor's channel and subclasses this to declare its capabilities; the
    CPU's provider is the shortest example.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    @property
    def _device(self) -> torch.device:
        device: torch.device = self._backend.device
        return device

    def channels(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in usable_channels(self._device.type))

    def communicator(
        self,
        ranks: Sequence[int] | None = None,
        *,
        channel: str | None = None,
        timeout: float = 600.0,
        **options: Any,
    ) -> Communicator:
        """See :meth:`accel.providers.Collectives.communicator`. There are no further options."""
        stage_always = bool(options.pop("_stage_always", False))  # for tests of the staging
        if options:
            raise ArgumentError("options", "no further options", ", ".join(sorted(options)))

        from .checks import check_timeout
        from .world import join_world, track

        timeout = check_timeout(timeout)
        device_type = self._device.type
        if channel is not None:
            find_channel(device_type, channel)  # a wrong name costs no world
        world = join_world(timeout)
        members = world.check_ranks(ranks)
        unusable = {c.name: c.why_unusable() for c in channels_for(device_type)}
        unusable = {name: reason for name, reason in unusable.items() if reason}
        key, elsewhere = world.agree(members, channel, unusable, timeout)
        if channel is None:
            chosen = select_channel(device_type, self._backend.info.name, elsewhere)
        elif channel in elsewhere:
            raise ArgumentError(
                "channel", "one usable on every rank", f"{channel!r}: {elsewhere[channel]}"
            )
        else:
            chosen = find_channel(device_type, channel)
        made: Communicator = self._make(world, members, chosen, key, timeout, stage_always)
        track(made)
        return made

    def _make(
        self,
        world: Any,
        members: tuple[int, ...],
        channel: Channel,
        key: str,
        timeout: float,
        stage_always: bool,
    ) -> Any:
        from .outside import OutsideCommunicator

        common: dict[str, Any] = {
            "world_ranks": members,
            "device": self._device,
            "channel": channel.name,
            "timeout": timeout,
        }
        if channel.staged:
            if world.rank not in members:
                return OutsideCommunicator(world.rank, **common)
            from .host import HostCommunicator
            from .notes import Notes
            from .staging import PinnedStaging, PlainMemory

            rank = members.index(world.rank)
            group = world.gloo_group(members, f"{key}/group", timeout)
            staged = stage_always or self._device.type != "cpu"
            operands = PinnedStaging(self._backend) if staged else PlainMemory()
            notes = Notes(world.store, f"{key}/notes", rank)
            return HostCommunicator(group, operands, notes, rank=rank, **common)

        from .device import DeviceCommunicator

        # Every rank of the world takes part in this, also those that are not members.
        group = world.vendor_group(members, channel, timeout)
        common["release"] = lambda: world.destroy(group)
        if world.rank not in members:
            return OutsideCommunicator(world.rank, **common)
        rank = members.index(world.rank)
        made = DeviceCommunicator(
            group,
            averages=channel.averages,
            tags=channel.tags,
            repeats=channel.repeats,
            gathers=channel.gathers,
            widened=channel.widened,
            on_host=channel.on_host,
            rank=rank,
            **common,
        )
        # Libraries connect at the first call and block the host until every rank is there; now
        # they all are, and later calls can time out.
        made.barrier()
        return made

    def close(self) -> None:
        """Communicators are closed by whoever made them, or when the process ends."""
