"""Capabilities: a frozen map with a level for every word of a fixed vocabulary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel import ArgumentError, Capabilities, Capability, Level

LEVELS = st.dictionaries(st.sampled_from(Capability), st.sampled_from(Level))


def test_the_vocabulary_is_documented_and_belongs_to_areas() -> None:
    areas = {"streams", "events", "pinned", "memcpy", "collectives", "p2p", "kv"}
    for capability in Capability:
        assert capability.doc
        assert capability.value.partition(".")[0] in areas
        assert str(capability) == capability.value
        assert Capability.parse(capability.value) is capability
        assert Capability.parse(capability) is capability
    assert len({c.value for c in Capability}) == len(list(Capability))


def test_unknown_words_are_errors() -> None:
    with pytest.raises(ArgumentError, match=r"one of: streams.*given 'teleport'"):
        Capability.parse("teleport")
    with pytest.raises(ArgumentError):
        Capabilities({"teleport": Level.NATIVE})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="fast"):
        Capabilities({Capability.COPY: "fast"})  # type: ignore[dict-item]


@given(LEVELS)
def test_a_map_over_the_whole_vocabulary(levels: dict[Capability, Level]) -> None:
    capabilities = Capabilities(levels)
    supported = [c for c in Capability if levels.get(c, Level.UNSUPPORTED) != "unsupported"]
    assert list(capabilities) == supported
    assert len(capabilities) == len(supported)
    for capability in Capability:
        level = levels.get(capability, Level.UNSUPPORTED)
        assert capabilities[capability] is level
        assert capabilities[capability.value] is level
        assert (capability in capabilities) == (capability in supported)
    assert dict(capabilities.items()) == {c: levels[c] for c in supported}


@given(LEVELS, LEVELS)
def test_merging_lets_the_second_win(
    first: dict[Capability, Level], second: dict[Capability, Level]
) -> None:
    one, two = Capabilities(first), Capabilities(second)
    merged = one.merged(two)
    for capability in Capability:
        expected = two[capability] if capability in two else one[capability]
        assert merged[capability] is expected
    assert one == Capabilities(first), "merging changed its operand"


@given(LEVELS)
def test_equal_maps_hash_alike(levels: dict[Capability, Level]) -> None:
    one, two = Capabilities(levels), Capabilities(dict(reversed(levels.items())))
    assert one == two
    assert hash(one) == hash(two)


def test_frozen() -> None:
    capabilities = Capabilities({Capability.COPY: Level.NATIVE})
    with pytest.raises(TypeError):
        capabilities[Capability.COPY] = Level.STAGED  # type: ignore[index]
    assert repr(capabilities) == "Capabilities(memcpy.copy=native)"
