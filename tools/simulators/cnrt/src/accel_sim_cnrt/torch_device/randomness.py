"""Seeds and states of the devices' generators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .devices import index_of
from .native import native

__all__ = [
    "default_generators",
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_rng_state",
    "set_rng_state_all",
]


class _Generators:
    """The devices' default generators, made when one is asked for."""

    def __len__(self) -> int:
        return int(native.device_count())

    def __getitem__(self, index: int) -> torch.Generator:
        made: torch.Generator = native.default_generator(index_of(index))
        return made


default_generators = _Generators()


def manual_seed(seed: int) -> None:
    """Seeds the current device's generator."""
    default_generators[index_of(None)].manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    for index in range(len(default_generators)):
        default_generators[index].manual_seed(int(seed))


def seed() -> None:
    default_generators[index_of(None)].seed()


def seed_all() -> None:
    """Gives all devices the same random seed."""
    manual_seed_all(torch.Generator().seed())


def initial_seed() -> int:
    return default_generators[index_of(None)].initial_seed()


def get_rng_state(device: Any = None) -> torch.Tensor:
    return default_generators[index_of(device)].get_state()


def set_rng_state(new_state: torch.Tensor, device: Any = None) -> None:
    default_generators[index_of(device)].set_state(new_state)


def get_rng_state_all() -> list[torch.Tensor]:
    return [get_rng_state(index) for index in range(len(default_generators))]


def set_rng_state_all(new_states: Iterable[torch.Tensor]) -> None:
    for index, state in enumerate(new_states):
        set_rng_state(state, index)
