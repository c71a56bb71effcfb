"""Levels, patterns, ids and seeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel import Capability
from accel_conformance.case import case, case_id, case_of, needs
from accel_conformance.choosing import compile_pattern, matches_any, parse_levels
from accel_conformance.seeds import case_seed, fresh_run_seed


@pytest.mark.parametrize(
    ("texts", "levels"),
    [
        ([], {0, 1, 2, 3, 4}),
        (["L1"], {1}),
        (["1", "l3"], {1, 3}),
        (["L0..L2"], {0, 1, 2}),
        (["2-4"], {2, 3, 4}),
        (["L1,L3..L4"], {1, 3, 4}),
    ],
)
def test_levels(texts: list[str], levels: set[int]) -> None:
    assert parse_levels(texts) == levels


@pytest.mark.parametrize("text", ["L5", "x", "", "L3..L1", "L1..", "11"])
def test_levels_refused(text: str) -> None:
    with pytest.raises(ValueError, match="L0 to L4"):
        parse_levels([text])


def test_patterns() -> None:
    """An id is itself; brackets are no wildcard; a bare function means all its parameters."""
    exact = compile_pattern("L1-a::b[x-1]")
    assert exact.match("L1-a::b[x-1]")
    assert not exact.match("L1-a::bx")
    assert not exact.match("L1-a::b[x-1]]")
    bare = compile_pattern("L1-a::b")
    assert bare.match("L1-a::b")
    assert bare.match("L1-a::b[anything at all]")
    assert not bare.match("L1-a::bc")
    assert compile_pattern("L1-*::b*").match("L1-memcpy::by[3]")
    assert not matches_any("L2-a::b", [exact, bare])


@given(st.text(alphabet="ab[]-.:*?()|+", max_size=12), st.text(alphabet="ab[]", max_size=4))
def test_pattern_matches_itself(text: str, extra: str) -> None:
    assert compile_pattern(text).match(text)
    if "*" not in text and extra and "[" not in text:
        matched = compile_pattern(text).match(text + extra) is not None
        assert matched == (extra[0] == "[" and extra[-1] == "]" and len(extra) > 1)


def test_ids() -> None:
    assert case_id(1, "/x/cases/memcpy_forms.py", "test_rows[1-2]") == "L1-memcpy::rows[1-2]"
    assert case_id(0, "events.py", "test_query") == "L0-events::query"


def test_decorator() -> None:
    @case(level=2, needs=[Capability.COPY, "memcpy.2d"], seconds=3)  # type: ignore[list-item]
    def test_something() -> None:
        """First line.

        More.
        """

    found = case_of(test_something)
    assert found is not None
    assert found.needs == (Capability.COPY, Capability.COPY_2D)
    assert (found.level, found.seconds, found.summary) == (2, 3, "First line.")
    assert case_of(len) is None
    with pytest.raises(ValueError, match="level"):
        case(level=9)
    with pytest.raises(ValueError, match="docstring"):
        case(level=1)(lambda: None)
    with pytest.raises(ValueError, match="capability"):
        case(level=1, needs=["memcpy.nothing"])  # type: ignore[list-item]
    assert needs(Capability.FILL).args == (Capability.FILL,)


@given(st.integers(0, 2**31), st.text())
def test_seeds(run: int, identity: str) -> None:
    seed = case_seed(run, identity)
    assert 0 <= seed < 2**63
    assert seed == case_seed(run, identity)
    assert seed != case_seed(run + 1, identity)
    assert seed != case_seed(run, identity + "x")


def test_fresh_seeds() -> None:
    assert len({fresh_run_seed() for _ in range(20)}) > 1
