"""Torch operations, seen by a dispatch mode: what the operator's schema says it reads and writes.

Views and metadata are nothing; a new tensor is written by the operation that makes it, unless it
comes uninitialised. An argument is written where the schema's alias annotation says so (``a!``),
any other tensor is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from .access import When
    from .recorder import Recorder

__all__ = ["TorchMode", "host_reads", "modes_are_active"]

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


class TorchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The dispatch mode of one thread."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._r = recorder
        self._effects: dict[Any, _Effects] = {}
        self._device = recorder.backend.device.type

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._r.here.depth:
            return func(*args, **kwargs)
        effects = self._effects.get(func)
        if effects is None:
            effects = self._effects[func] = _Effects(func)
        result = func(*args, **kwargs)
        if not effects.nothing:
            self._note(effects, args, kwargs, result)
        return result

    def _note(self, effects: _Effects, args: Any, kwargs: Any, result: Any) -> None:
        r = self._r
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
        on_device = any(t.device.type == self._device for t, _, _ in touched)
        with r.lock:
            when = r.in_torch(effects.call, on_device)
            for tensor, writes, name in touched:
                note(r, when, tensor, writes, name)
            if self._waits(effects, touched, args, kwargs) and not when.on_host:
                r.learn(r.stream(None).snapshot())

    def _waits(
        self, effects: _Effects, touched: list[tuple[torch.Tensor, bool, str]], args: Any, kw: Any
    ) -> bool:
        """Whether the host has the values when the call returns."""
        if effects.hands_to_host:
            return True
        if not effects.copies or self._device == "cpu":
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


def modes_are_active() -> bool:
    """Whether this thread is inside other dispatch modes, which end in the order they began."""
    return torch._C._len_torch_dispatch_stack() > 0


@contextmanager
def host_reads(recorders: list[Recorder]) -> Iterator[None]:
    """See ``tolist`` and ``numpy``, which hand a CPU tensor's bytes out without any operator.

    A read at the time of the call; what is done to the array later is not seen.
    """
    names = ("tolist", "numpy", "__array__")
    own_members = vars(torch.Tensor)
    originals = {name: (own_members.get(name), getattr(torch.Tensor, name)) for name in names}
    for name, (_, original) in originals.items():
        setattr(torch.Tensor, name, _reading(name, original, recorders))
    try:
        yield
    finally:
        for name, (own, _) in originals.items():
            if own is not None:
                setattr(torch.Tensor, name, own)
            else:
                delattr(torch.Tensor, name)


def _reading(name: str, original: Any, recorders: list[Recorder]) -> Any:
    def read(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.device.type == "cpu" and type(self) is torch.Tensor:
            for r in recorders:
                if r.here.depth:
                    continue
                with r.lock:
                    when = r.in_torch(f"torch.{name}", False)
                    note(r, when, self, False, "the tensor")
                    if not when.on_host:
                        r.learn(r.stream(None).snapshot())
        return original(self, *args, **kwargs)

    return read
