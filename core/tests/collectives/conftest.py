"""``run_ranks``: run a rank program and see that every check passed."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "accel_collectives_ranks", Path(__file__).with_name("ranks.py")
)
assert _spec is not None
assert _spec.loader is not None
ranks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ranks)


@pytest.fixture
def run_ranks(tmp_path: Path) -> Callable[..., None]:
    """``run_ranks(program, size, at_least)``: at least so many checks ran, and none failed."""

    def run(
        program: str, size: int, at_least: int, expected_exit: Sequence[int] | None = None
    ) -> None:
        seed = random.SystemRandom().randrange(1 << 30)
        results = ranks.launch(program, size, seed, tmp_path, expected_exit=expected_exit)
        assert len(results) >= at_least
        assert not ranks.failed(results), ranks.failed(results)

    return run
