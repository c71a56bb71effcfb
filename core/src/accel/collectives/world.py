"""The world: the process group of all ranks, joined or adopted, and what its ranks agree on."""

from __future__ import annotations

import atexit
import json
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from ..errors import ArgumentError, CollectiveError, CollectiveTimeoutError, StateError
from .channels import Channel
from .failures import Deadline, looks_like_timeout

__all__ = ["World", "join_world", "track"]

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LAUNCH = (
    "launch with `torchrun --nproc-per-node N script.py`, or call "
    "torch.distributed.init_process_group first"
)
#: What the other ranks wait longer than rank 0, so that they learn what it found.
_GRACE_SECONDS = 5.0

_lock = threading.Lock()
_world: World | None = None
_live: weakref.WeakSet[Any] = weakref.WeakSet()


class World:
    """All ranks. ``store`` is their key-value store."""

    def __init__(self, made_here: bool) -> None:
        self.made_here = made_here
        self.group = dist.group.WORLD
        self.rank: int = dist.get_rank()
        self.size: int = dist.get_world_size()
        self.store: Any = dist.distributed_c10d._get_default_store()
        self.calls = 0

    def check_ranks(self, ranks: Sequence[int] | None) -> tuple[int, ...]:
        """``ranks`` as a tuple; all if None. ArgumentError unless ascending and of the world."""
        if ranks is None:
            return tuple(range(self.size))
        if isinstance(ranks, (str, bytes)) or not isinstance(ranks, Sequence) or not len(ranks):
            raise ArgumentError("ranks", "a sequence of ranks, not empty", repr(ranks))
        for i, rank in enumerate(ranks):
            if not isinstance(rank, int) or isinstance(rank, bool) or not 0 <= rank < self.size:
                raise ArgumentError(
                    f"ranks[{i}]", f"a rank of the world, 0 to {self.size - 1}", repr(rank)
                )
        if list(ranks) != sorted(set(ranks)):
            raise ArgumentError(
                "ranks", "ascending ranks, each once", list(ranks), "pass sorted(set(ranks))"
            )
        return tuple(ranks)

    def agree(
        self, ranks: Sequence[int], asked: str | None, unusable: Mapping[str, str], timeout: float
    ) -> tuple[str, dict[str, str]]:
        """Check that all ranks ask for the same group; which channels some rank cannot use.

        Rank 0 collects what every rank says and publishes the outcome.

        Returns:
            A key in the store that is this group's own, and {channel: reason}.

        Raises:
            CollectiveTimeoutError: some ranks did not call; names them.
            CollectiveError: the ranks ask for different groups, or the store is gone.
        """
        self.calls += 1
        key = f"accel/communicator/{self.calls}"
        said = {"ranks": list(ranks), "channel": asked, "unusable": dict(unusable)}
        here = f"rank {self.rank} of {self.size}: communicator()"
        try:
            self.store.set(f"{key}/{self.rank}", json.dumps(said))
            if self.rank == 0:
                outcome = self._collect(key, said, timeout)
                self.store.set(f"{key}/outcome", json.dumps(outcome))
                self.store.delete_key(f"accel/communicator/{self.calls - 1}/outcome")
            else:
                limit = timedelta(seconds=timeout + _GRACE_SECONDS)
                self.store.wait([f"{key}/outcome"], limit)
                outcome = json.loads(self.store.get(f"{key}/outcome"))
        except RuntimeError as error:
            if looks_like_timeout(error):
                # Should rank 0 come late, it must not count on this rank.
                self.store.delete_key(f"{key}/{self.rank}")
                raise CollectiveTimeoutError(
                    f"{here} did not complete within {timeout:g} s: rank 0 did not call it. Cure: "
                    f"every rank of the world must call communicator(), also those not in ranks"
                ) from error
            raise CollectiveError(f"{here}: the world's store is gone: {error}") from error
        if outcome["missing"]:
            raise CollectiveTimeoutError(
                f"{here} did not complete within {timeout:g} s: ranks {outcome['missing']} did not "
                f"call it. Cure: every rank of the world must call it, also those not in ranks"
            )
        if outcome["differs"]:
            raise CollectiveError(f"{here}: ranks ask for different groups: {outcome['differs']}")
        return key, dict(outcome["unusable"])

    def gloo_group(self, members: Sequence[int], key: str, timeout: float) -> Any:
        """A gloo group of ``members``, of which this rank is one; the others take no part.

        Made beside torch's own book-keeping, which ranks would leave in different states when one
        of them does not come.
        """
        rank = list(members).index(self.rank)
        store = dist.distributed_c10d.PrefixStore(key, self.store)
        with self._making("gloo", members, timeout):
            return dist.ProcessGroupGloo(
                store, rank, len(members), timeout=timedelta(seconds=timeout)
            )

    def vendor_group(self, members: Sequence[int], channel: Channel, timeout: float) -> Any:
        """A group of ``members`` over a vendor's library; collective over the whole world."""
        with self._making(channel.name, members, timeout):
            options = {"timeout": timedelta(seconds=timeout), **channel.group_options(timeout)}
            return dist.new_group(list(members), backend=channel.torch_backend, **options)

    def destroy(self, group: Any) -> None:
        """Undo :meth:`vendor_group`, unless the framework has ended the world already."""
        if dist.is_initialized() and dist.group.WORLD is self.group:
            dist.destroy_process_group(group)

    @contextmanager
    def _making(self, name: str, members: Sequence[int], timeout: float) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            kind = CollectiveTimeoutError if looks_like_timeout(error) else CollectiveError
            raise kind(
                f"rank {self.rank} of {self.size}: communicator(): making a {name} group of ranks "
                f"{list(members)} failed ({timeout:g} s allowed): {error}"
            ) from error

    def _collect(self, key: str, said: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        outcome: dict[str, Any] = {"missing": [], "differs": "", "unusable": {}}
        deadline = Deadline(timeout)
        for rank in range(self.size):
            name = f"{key}/{rank}"
            try:
                if not self.store.check([name]):
                    self.store.wait([name], timedelta(seconds=deadline.remaining()))
            except RuntimeError as error:
                if not looks_like_timeout(error):
                    raise
                outcome["missing"].append(rank)
                continue
            theirs = json.loads(self.store.get(name))
            self.store.delete_key(name)
            for part in ("ranks", "channel"):
                if theirs[part] != said[part] and not outcome["differs"]:
                    outcome["differs"] = (
                        f"rank 0 {part} {said[part]}, rank {rank} {part} {theirs[part]}"
                    )
            for channel, reason in theirs["unusable"].items():
                outcome["unusable"].setdefault(channel, f"not usable on rank {rank}: {reason}")
        return outcome


def join_world(timeout: float) -> World:
    """The world, joined by torchrun's environment when nobody has done so yet.

    Raises:
        StateError: neither a process group nor the environment for one.
        CollectiveTimeoutError: not all ranks came.
    """
    global _world
    with _lock:
        if dist.is_initialized():
            if _world is None or _world.group is not dist.group.WORLD:
                _world = World(made_here=False)
            return _world
        missing = [name for name in _VARIABLES if not os.environ.get(name)]
        if missing:
            raise StateError(
                f"no world to make a communicator in: torch.distributed is not initialised and "
                f"{', '.join(missing)} not set. Cure: {_LAUNCH}"
            )
        rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
        try:
            # gloo: the world only carries the agreement; each communicator makes its own group.
            dist.init_process_group("gloo", timeout=timedelta(seconds=timeout))
        except (RuntimeError, ValueError) as error:
            where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            kind = CollectiveTimeoutError if looks_like_timeout(error) else CollectiveError
            raise kind(
                f"rank {rank} of {size}: could not join the world at {where} within {timeout:g} s: "
                f"{error}"
            ) from error
        _world = World(made_here=True)
        return _world


def track(communicator: Any) -> None:
    """Close ``communicator`` when the process ends, if it is still there."""
    _live.add(communicator)


@atexit.register
def _leave_world() -> None:
    global _world
    for communicator in list(_live):
        communicator.close()
    world, _world = _world, None
    if world is not None and world.made_here and dist.group.WORLD is world.group:
        dist.destroy_process_group()
