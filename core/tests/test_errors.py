"""The error taxonomy: what may be caught as what, and what every message carries."""

from __future__ import annotations

import copy
import pickle

import pytest

import accel
from accel import errors

BUILT_IN = {
    "DiscoveryError": RuntimeError,
    "BackendNotFoundError": LookupError,
    "TorchImportError": ImportError,
    "CapabilityError": NotImplementedError,
    "ArgumentError": ValueError,
    "DTypeError": TypeError,
    "SlotError": IndexError,
    "OutOfMemoryError": MemoryError,
    "CollectiveTimeoutError": TimeoutError,
    "StateError": RuntimeError,
}
ARGUMENT_ERRORS = [
    e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.ArgumentError)
]


def test_every_error_is_an_accel_error_and_exported() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert getattr(accel, name) is kind
        base = accel.AccelWarning if name.endswith("Warning") else accel.AccelError
        assert issubclass(kind, base)
    assert issubclass(accel.AccelWarning, UserWarning)


@pytest.mark.parametrize(("name", "built_in"), BUILT_IN.items())
def test_the_built_in_that_a_programmer_would_catch(name: str, built_in: type) -> None:
    assert issubclass(getattr(accel, name), built_in)


@pytest.mark.parametrize("kind", ARGUMENT_ERRORS, ids=lambda kind: kind.__name__)
def test_argument_errors_name_argument_expected_given_and_cure(kind: type) -> None:
    error = kind("slots[3]", "below 128", 200, "pass flat slot numbers")
    assert str(error) == "slots[3]: expected below 128, given 200. Cure: pass flat slot numbers"
    assert (error.argument, error.expected, error.given) == ("slots[3]", "below 128", "200")
    assert str(kind("x", "a", "b")) == "x: expected a, given b"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error)
        assert twin.cure == "pass flat slot numbers"


def test_discovery_and_capability_errors_carry_their_cure() -> None:
    error = accel.PluginError("it broke.", "mend it")
    assert str(error) == "it broke. Cure: mend it"
    assert error.cure == "mend it"
    assert str(accel.PluginError("it broke.")) == "it broke."
    missing = accel.CapabilityError(accel.Capability.KV_WRITE, "acme")
    assert missing.capability == "kv.write"
    assert missing.backend == "acme"
    assert "'acme' does not support 'kv.write'" in str(missing)
    assert missing.cure in str(missing)
