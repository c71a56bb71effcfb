"""Capabilities: what is claimed works, what is not claimed says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accel import Backend, Capabilities, Capability, CapabilityError, Level
from accel_conformance.capability_uses import USES
from accel_conformance.case import case

AREAS = ("streams", "events", "pinned", "memcpy", "collectives", "kv")

#: What may be named instead: a capability cannot be had without the one it stands on.
FOUNDATIONS = {
    "streams": Capability.STREAMS,
    "events": Capability.EVENTS,
    "pinned": Capability.PINNED,
    "memcpy": Capability.COPY,
    "collectives": Capability.COLLECTIVES,
    "kv": Capability.KV_TRANSFER,
}


@case(level=0)
@pytest.mark.parametrize("probed", list(Capability), ids=lambda c: c.value)
def test_honest(
    backend: Backend, probed: Capability, record_property: Callable[[str, object], None]
) -> None:
    """A claimed capability works in its most trivial use; another raises CapabilityError."""
    claimed = probed in backend.capabilities
    try:
        USES[probed](backend)
    except CapabilityError as error:
        assert not claimed, f"{probed} is claimed as {backend.capabilities[probed]}, but: {error}"
        _check_error(error, probed, backend)
        return
    except Exception as error:
        if claimed:
            raise
        raise AssertionError(
            f"{probed} is not claimed, so its use must raise CapabilityError, not"
            f" {type(error).__name__}: {error}"
        ) from error
    if not claimed:
        record_property("accel.warning", f"{probed} works but is not claimed")


def _check_error(error: CapabilityError, probed: Capability, backend: Backend) -> None:
    allowed = {probed.value, FOUNDATIONS[probed.value.partition(".")[0]].value}
    if Capability.STREAMS not in backend.capabilities:
        allowed.add(Capability.STREAMS.value)
    assert error.capability in allowed, f"the error for {probed} names {error.capability!r} instead"
    assert probed.value == error.capability or Capability.parse(error.capability) not in (
        backend.capabilities
    ), f"the error for {probed} blames {error.capability!r}, which is claimed"
    assert error.backend, "the error does not name the backend"
    assert error.cure.strip(), "the error names no cure"


@case(level=0)
def test_well_formed(backend: Backend) -> None:
    """Levels are Levels, areas claim their own, and nothing is claimed without its foundation."""
    assert isinstance(backend.capabilities, Capabilities)
    for area in AREAS:
        provider = getattr(backend, area)
        for capability, level in dict(provider.capabilities).items():
            assert isinstance(Capability.parse(capability), Capability)
            assert isinstance(Level(level), Level)
    for capability in backend.capabilities:
        foundation = FOUNDATIONS[capability.value.partition(".")[0]]
        if capability in (Capability.COPY_RAW, Capability.COPY_PEER) or foundation in (
            Capability.STREAMS,
            Capability.EVENTS,
            Capability.PINNED,
            Capability.COLLECTIVES,
        ):
            assert foundation in backend.capabilities, f"{capability} without {foundation}"


@case(level=0)
def test_require(backend: Backend) -> None:
    """get_backend(require=...) gives what is claimed, and refuses what is not, by its name."""
    import accel

    claimed = list(backend.capabilities)
    found = accel.get_backend(backend.name, backend.device, require=tuple(claimed))
    assert found is backend
    for capability in Capability:
        if capability not in backend.capabilities:
            with pytest.raises(CapabilityError) as caught:
                accel.get_backend(backend.name, backend.device, require=(capability,))
            assert caught.value.capability == capability.value
