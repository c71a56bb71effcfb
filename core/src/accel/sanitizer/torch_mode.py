"""Torch operations, seen by a dispatch mode: what the operator's schema says it reads and writes.

Views and metadata are nothing; a new tensor is written by the operation that makes it, unless it
comes uninitialised. An argument is written where the schema's alias annotation says so (``a!``),
any other tensor is read.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

if TYPE_CHECKING:
    from .access import When
    from .recorder import Recorder

__all__ = ["in_other_modes", "seeing", "unwatch", "watch"]

#: Their result holds nothing yet.
_UNINITIALISED = frozenset(
    ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided")
)
#: They change what a tensor refers to, not the bytes.
_METADATA = frozenset(("resize_", "set_", "resize_as_", "_resize_output_", "squeeze_", "t_"))
#: They hand a value to the host, which therefore waits for it.
_HOST_VALUE = frozenset(("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "_unique2"))


class _Effects:
    """What one operator does to its arguments and results."""

    def __init__(self, func: Any) -> None:
        schema = func._schema
        name = schema.name.rpartition("::")[2]
        returns = schema.returns
        view = bool(returns) and all(
            r.alias_info is not None and not r.alias_info.is_write for r in returns
        )
        self.call = f"torch.{name}"
        self.nothing = view or name in _METADATA
        self.hands_to_host = name in _HOST_VALUE
        self.copies = name in ("copy_", "_to_copy")
        like = name.endswith("_like") or name.startswith("new_")  # take shape and dtype only
        self.arguments = [
            (i, a.name, a.alias_info is not None and a.alias_info.is_write)
            for i, a in enumerate(schema.arguments)
            if not like or a.name == "fill_value"
        ]
        #: Results that are new tensors, and full.
        self.makes = [r.alias_info is None and name not in _UNINITIALISED for r in returns]


class _TorchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The dispatch mode of one thread, for all sanitizers that are on."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        for recorder in _here.recorders:
            if recorder in _recorders and not recorder.here.depth:
                effects = _effects.get(func)
                if effects is None:
                    effects = _effects[func] = _Effects(func)
                if not effects.nothing:
                    _note(recorder, effects, args, kwargs, result)
        return result


class _Here(threading.local):
    mode: _TorchMode | None = None
    #: Who looks at this thread. In a callback that is its backend's sanitizer alone: another one
    #: would not know where in the order of things it runs.
    recorders: tuple[Recorder, ...] = ()


_recorders: list[Recorder] = []
_effects: dict[Any, _Effects] = {}
_here = _Here()
_originals: dict[str, Any] = {}
_lock = _thread.allocate_lock()


def watch(recorder: Recorder, *, this_thread: bool) -> None:
    """Show torch operations to ``recorder``: of threads to come, and of this one if asked to."""
    with _lock:
        if not _recorders:
            _replace_host_reads()
        _recorders.append(recorder)
    if this_thread:
        _look(recorder)


def unwatch(recorder: Recorder) -> None:
    """No longer."""
    look_away(recorder)
    with _lock:
        _recorders.remove(recorder)
        if _recorders:
            return
        for name, own in _originals.items():
            if own is not None:
                setattr(torch.Tensor, name, own)
            else:
                delattr(torch.Tensor, name)
        _originals.clear()


@contextmanager
def seeing(recorder: Recorder) -> Iterator[None]:
    """``recorder`` sees torch operations of the calling thread: modes are a thread's own."""
    if recorder not in _recorders or recorder in _here.recorders:
        yield
        return
    _look(recorder)
    try:
        yield
    finally:
        look_away(recorder)


def in_other_modes() -> bool:
    """Whether this thread is inside dispatch modes that will end before a sanitizer's would."""
    return torch._C._len_torch_dispatch_stack() > (_here.mode is not None)


def look_away(recorder: Recorder) -> None:
    """``recorder`` no longer sees the calling thread."""
    _here.recorders = tuple(r for r in _here.recorders if r is not recorder)
    if not _here.recorders:
        _leave()


def _look(recorder: Recorder) -> None:
    _here.recorders = (*_here.recorders, recorder)
    if _here.mode is None:
        _here.mode = _TorchMode()  # type: ignore[no-untyped-call]
        _here.mode.__enter__()  # type: ignore[no-untyped-call]


def _leave() -> None:
    # Modes end in the order in which they began: one that lies under another's stays, and does
    # nothing as long as no sanitizer is on.
    if _here.mode is not None and _get_current_dispatch_mode() is _here.mode:
        _here.mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        _here.mode = None


def _note(r: Recorder, effects: _Effects, args: Any, kwargs: Any, result: Any) -> None:
    touched: list[tuple[torch.Tensor, bool, str]] = []
    for i, name, writes in effects.arguments:
        value = args[i] if i < len(args) else kwargs.get(name)
        if value is not None:
            touched += [(t, writes, n) for t, n in _tensors(value, name)]
    results = result if isinstance(result, (tuple, list)) else (result,)
    for value, made in zip(results, effects.makes, strict=False):
        if made:
            touched += [(t, True, n) for t, n in _tensors(value, "the result")]
    if not touched:
        return
    on_device = any(t.device.type == r.backend.device.type for t, _, _ in touched)
    with r.lock:
        when = r.in_torch(effects.call, on_device)
        for tensor, writes, name in touched:
            note(r, when, tensor, writes, name)
        if _waits(r, effects, touched, args, kwargs) and not when.on_host:
            r.learn(r.stream(None).snapshot())


def _waits(
    r: Recorder,
    effects: _Effects,
    touched: list[tuple[torch.Tensor, bool, str]],
    args: Any,
    kw: Any,
) -> bool:
    """Whether the host has the values when the call returns."""
    if effects.hands_to_host:
        return True
    if not effects.copies or r.backend.device.type == "cpu":
        return False
    # To or from the host, unless asked not to wait.
    waits = not (kw.get("non_blocking") or (len(args) > 2 and args[2] is True))
    return waits and len({t.device.type for t, _, _ in touched}) > 1


def note(r: Recorder, when: When, tensor: torch.Tensor, writes: bool, argument: str) -> None:
    """An access to a tensor, if it is one with bytes of its own."""
    if tensor.layout is torch.strided and tensor.device.type != "meta":
        try:
            tensor.data_ptr()
        except RuntimeError:  # fake, functional and other tensors without memory
            return
        r.tensor(when, tensor, writes, argument)


def _tensors(value: Any, name: str) -> Iterator[tuple[torch.Tensor, str]]:
    if isinstance(value, torch.Tensor):
        yield value, name
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            if isinstance(item, torch.Tensor):
                yield item, f"{name}[{i}]"


def _replace_host_reads() -> None:
    """See ``tolist`` and ``numpy``, which hand a CPU tensor's bytes out without any operator.

    A read at the time of the call; what is done to the array later is not seen.
    """
    for name in ("tolist", "numpy", "__array__"):
        _originals[name] = vars(torch.Tensor).get(name)
        setattr(torch.Tensor, name, _reading(name, getattr(torch.Tensor, name)))


def _reading(name: str, original: Any) -> Any:
    def read(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.device.type == "cpu" and type(self) is torch.Tensor:
            for r in _here.recorders:
                if r.here.depth or r not in _recorders:
                    continue
                with r.lock:
                    when = r.in_torch(f"torch.{name}", False)
                    note(r, when, self, False, "the tensor")
                    if not when.on_host:
                        r.learn(r.stream(None).snapshot())
        return original(self, *args, **kwargs)

    return read
