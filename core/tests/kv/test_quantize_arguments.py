"""What quantize and dequantize refuse, on any device, and which tensors share memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel.kv import QuantSpec
from accel.kv.quantize_arguments import check_dequantize, check_quantize, check_spec
from accel.tensor_overlap import check_disjoint, check_distinct, share_bytes

SPEC = QuantSpec("int8", "group", group_size=4, symmetric=False)
INT4 = QuantSpec("int4", "token")
HOST = ("cpu",)

Change = Callable[[dict[str, Any]], object]


def good(spec: QuantSpec = SPEC) -> dict[str, Any]:
    x = torch.zeros(2, 3, 8, dtype=torch.float16)
    return {"x": x, **spec.allocate(x.shape)._asdict()}


def check_both(arguments: dict[str, Any], spec: QuantSpec = SPEC) -> None:
    """As quantize's operands, and, with ``x`` for ``out``, as dequantize's."""
    x, codes, scales, offsets = (arguments[n] for n in ("x", "codes", "scales", "offsets"))
    raised = []
    for call in (
        lambda: check_quantize(x, codes, scales, offsets, spec, HOST),
        lambda: check_dequantize(codes, scales, offsets, x, spec, HOST),
    ):
        try:
            call()
        except ArgumentError as error:
            raised.append(error)
    if not raised:
        return
    first, second = raised
    assert type(first) is type(second)
    assert first.argument == ("x" if second.argument == "out" else second.argument)
    raise first


def strided(t: torch.Tensor) -> torch.Tensor:
    return torch.zeros(*t.shape, 2, dtype=t.dtype)[..., 0]


@pytest.mark.parametrize("spec", [SPEC, INT4, QuantSpec(axis="channel")], ids=str)
def test_good_calls(spec: QuantSpec) -> None:
    check_both(good(spec), spec)
    made = good(spec)
    names = made if spec.dtype != "int4" else ("x", "scales", "offsets")
    check_both(
        {k: strided(v) if k in names and v is not None else v for k, v in made.items()}, spec
    )
    empty = torch.zeros(0, 3, 8)
    check_both({"x": empty, **spec.allocate(empty.shape)._asdict()}, spec)
    one = torch.zeros(2, 3, 1).expand(2, 3, 8)  # read only, so it may be expanded
    made = spec.allocate(one.shape)
    check_quantize(one, *made, spec, HOST)


WRONG: dict[str, tuple[type[ArgumentError], str, Change]] = {
    "x-list": (DTypeError, "x", lambda a: a.update(x=[1.0])),
    "x-none": (DTypeError, "x", lambda a: a.update(x=None)),
    "x-dtype": (DTypeError, "x", lambda a: a.update(x=a["x"].double())),
    "x-codes": (DTypeError, "x", lambda a: a.update(x=a["x"].to(torch.int8))),
    "x-sparse": (DTypeError, "x", lambda a: a.update(x=a["x"].float().to_sparse())),
    "x-meta": (DeviceError, "x", lambda a: a.update(x=a["x"].to("meta"))),
    "x-one-axis": (ShapeError, "x", lambda a: a.update(x=a["x"][0, 0])),
    "x-group": (SizeError, "group_size", lambda a: a.update(x=a["x"][..., :6])),
    "x-negated": (
        DTypeError, "x",
        lambda a: a.update(x=torch.zeros(2, 3, 8, dtype=torch.complex64).conj().imag),
    ),
    "codes-none": (DTypeError, "codes", lambda a: a.update(codes=None)),
    "codes-dtype": (DTypeError, "codes", lambda a: a.update(codes=a["codes"].view(torch.uint8))),
    "codes-shape": (ShapeError, "codes", lambda a: a.update(codes=a["codes"][:, :2])),
    "codes-axes": (ShapeError, "codes", lambda a: a.update(codes=a["codes"].flatten(0, 1))),
    "codes-meta": (DeviceError, "codes", lambda a: a.update(codes=a["codes"].to("meta"))),
    "scales-none": (DTypeError, "scales", lambda a: a.update(scales=None)),
    "scales-dtype": (DTypeError, "scales", lambda a: a.update(scales=a["scales"].half())),
    "scales-shape": (ShapeError, "scales", lambda a: a.update(scales=a["scales"][..., :1])),
    "offsets-missing": (ArgumentError, "offsets", lambda a: a.update(offsets=None)),
    "offsets-dtype": (DTypeError, "offsets", lambda a: a.update(offsets=a["offsets"].double())),
    "offsets-shape": (ShapeError, "offsets", lambda a: a.update(offsets=a["offsets"][:1])),
    **{
        f"{name}-freed": (
            FreedError, name, lambda a, n=name: a[n].untyped_storage().resize_(0)
        ) for name in ("x", "codes", "scales", "offsets")
    },
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_calls(what: str) -> None:
    error, argument, change = WRONG[what]
    arguments = good()
    change(arguments)
    with pytest.raises(ArgumentError) as caught:
        check_both(arguments)
    assert type(caught.value) is error
    assert caught.value.argument == argument
    assert caught.value.expected
    assert caught.value.given


def test_wrong_for_some_specs() -> None:
    arguments = good(INT4)
    arguments["offsets"] = torch.zeros_like(arguments["scales"])
    with pytest.raises(ArgumentError, match="offsets: expected None"):
        check_both(arguments, INT4)
    arguments = good(INT4)
    arguments["codes"] = strided(arguments["codes"])
    with pytest.raises(ShapeError, match=r"codes: .*side by side"):
        check_both(arguments, INT4)
    arguments = good(INT4)
    arguments["x"] = arguments["x"][..., :7]
    with pytest.raises(ShapeError, match=r"x: .*even number"):
        check_both(arguments, INT4)
    with pytest.raises(DTypeError, match="spec"):
        check_spec("int8")


@pytest.mark.parametrize("name", ["codes", "scales", "offsets"])
def test_expanded_outputs(name: str) -> None:
    a = good()
    a[name] = a[name][:1].expand(a[name].shape)
    with pytest.raises(OverlapError, match=name):
        check_quantize(**a, spec=SPEC, device_types=HOST)
    check_dequantize(a["codes"], a["scales"], a["offsets"], a["x"], SPEC, HOST)
    out = a["x"][:1].expand(a["x"].shape)
    with pytest.raises(OverlapError, match="out"):
        check_dequantize(a["codes"], a["scales"], a["offsets"], out, SPEC, HOST)


def test_shared_memory() -> None:
    """Any two operands of which one is written; scales and offsets side by side are fine."""
    raw = torch.zeros(4096, dtype=torch.uint8)
    a = good()
    for first, second in (
        ("x", "codes"), ("x", "scales"), ("x", "offsets"), ("codes", "scales"),
        ("codes", "offsets"), ("scales", "offsets"),
    ):  # fmt: skip
        for whole in (True, False):  # in the same place; by the first one's last bytes alone
            shared = dict(a)
            start = 0
            for name in (first, second):
                t = a[name]
                size = t.numel() * t.element_size()
                shared[name] = raw[start : start + size].view(t.dtype).view(t.shape)
                start = 0 if whole else size - 4
            with pytest.raises(OverlapError):
                check_quantize(**shared, spec=SPEC, device_types=HOST)
            call = (shared["codes"], shared["scales"], shared["offsets"], shared["x"], SPEC, HOST)
            if "x" in (first, second):
                with pytest.raises(OverlapError, match="out"):
                    check_dequantize(*call)
            else:
                check_dequantize(*call)
    both = torch.zeros(2, 3, 2, 2)
    check_quantize(a["x"], a["codes"], both[..., 0], both[..., 1], spec=SPEC, device_types=HOST)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_share_bytes_against_addresses(data: st.DataObject) -> None:
    raw = torch.zeros(400, dtype=torch.uint8)

    def tensor() -> torch.Tensor:
        dtype = data.draw(st.sampled_from([torch.int8, torch.float16, torch.float32]))
        base = raw.view(dtype)
        shape = data.draw(st.lists(st.integers(0, 4), max_size=3))
        stride = [data.draw(st.integers(0, 9)) for _ in shape]
        reach = sum((n - 1) * s for n, s in zip(shape, stride, strict=True) if n)
        offset = data.draw(st.integers(0, max(0, len(base) - 1 - reach)))
        return base.as_strided(shape, stride, offset)

    def element_bytes(t: torch.Tensor) -> list[int]:
        starts = [t.data_ptr()] if t.numel() else []
        for n, s in zip(t.shape, t.stride(), strict=True):
            starts = [a + i * s * t.element_size() for a in starts for i in range(n)]
        return [a + b for a in starts for b in range(t.element_size())]

    a, b = tensor(), tensor()
    ours, theirs = element_bytes(a), element_bytes(b)
    shared = bool(set(ours) & set(theirs))
    assert share_bytes(a, b) == shared
    if shared:
        with pytest.raises(OverlapError, match=r"^a: .*with b"):
            check_disjoint("a", a, "b", b)
    if len(ours) == len(set(ours)):
        check_distinct("a", a)
    else:
        with pytest.raises(OverlapError, match=r"^a: "):
            check_distinct("a", a)
