"""Calls that must be refused, with a good message, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from accel import ArgumentError

from .byte_compare import assert_same_bytes, bytes_of

__all__ = ["as_double", "assert_untouched"]


def as_double(tensor: torch.Tensor) -> torch.Tensor:
    """A float64 tensor of this shape and device, whose values are nobody's concern.

    Not by conversion: some devices' torch makes float32 of what is converted to float64.
    """
    return torch.zeros(tensor.shape, dtype=torch.int64, device=tensor.device).view(torch.float64)


def assert_untouched(
    error: type[ArgumentError] | tuple[type[ArgumentError], ...],
    argument: str | Iterable[str] | None,
    call: Callable[[], object],
    *watched: torch.Tensor,
    settle: Callable[[], object] | None = None,
) -> ArgumentError:
    """Run ``call``, which must raise ``error`` and leave every byte of ``watched`` as it was.

    Args:
        error: the type or types allowed; all are ArgumentErrors.
        argument: what ``error.argument`` must be, or the names among which it must be; None to
            accept any name.
        call: the wrong call.
        watched: tensors that must not change.
        settle: run after the call and before looking, so that a write queued by mistake shows.

    Returns:
        The error, for further checks.
    """
    before = [bytes_of(tensor) for tensor in watched]
    try:
        call()
    except error as caught:
        found = caught
    except Exception as other:
        raise AssertionError(
            f"expected {_names(error)}, but {type(other).__name__} was raised: {other}"
        ) from other
    else:
        raise AssertionError(f"expected {_names(error)}, but the call was accepted")
    finally:
        if settle is not None:
            settle()
    for index, (tensor, bytes_before) in enumerate(zip(watched, before, strict=True)):
        assert_same_bytes(tensor, bytes_before, f"watched tensor {index} after the refused call")
    _check_message(found, argument)
    return found


def _check_message(error: ArgumentError, argument: str | Iterable[str] | None) -> None:
    allowed = (argument,) if isinstance(argument, str) else argument
    if allowed is not None:
        allowed = tuple(allowed)
        # "src.nbytes" names src, and says more.
        named = {error.argument, error.argument.partition(".")[0]}
        assert named & set(allowed), (
            f"the error names {error.argument!r} instead of {' or '.join(map(repr, allowed))}:"
            f" {error}"
        )
    assert error.argument, f"the error names no argument: {error}"
    assert error.expected.strip(), f"the error does not say what was expected: {error}"
    assert error.given.strip(), f"the error does not say what was given: {error}"


def _names(error: type[ArgumentError] | tuple[type[ArgumentError], ...]) -> str:
    types = error if isinstance(error, tuple) else (error,)
    return " or ".join(t.__name__ for t in types)
