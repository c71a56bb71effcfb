"""What libopapi does beyond results: failures, random numbers, views, lists, the older operators.

Every function here is a check; prints one JSON line of those that failed, with their tracebacks.
"""

from __future__ import annotations

import ctypes
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_npu
from torch import nn

CHECKS: list[Callable[[], None]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS.append(function)
    return function


def usable() -> None:
    """The device still computes."""
    assert (torch.arange(10, device="npu") * 2).sum().item() == 90


@check
def not_simulated_names_the_operator() -> None:
    x = torch.randn(4, 8, device="npu")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="aclnnFastGelu is not simulated"):
            torch_npu.fast_gelu(x)
        assert torch.equal((x + 1).cpu(), x.cpu() + 1)  # what follows is not dropped
    usable()


@check
def planned_fault_at_the_call() -> None:
    x = torch.rand(5, device="npu")
    with pytest.raises(RuntimeError, match="561003"):  # ordered by the test that runs this program
        torch.erfinv(x)
    torch.testing.assert_close(torch.erfinv(x).cpu(), torch.erfinv(x.cpu()))


@check
def seeds_decide_random_numbers() -> None:
    def drawn() -> list[torch.Tensor]:
        torch.npu.manual_seed(5)
        chance = torch.full((100,), 0.3, device="npu")
        return [
            torch.rand(100, device="npu"),
            torch.rand(100, device="npu"),
            torch.randn(100, device="npu"),
            torch.randperm(100, device="npu"),
            torch.randint(0, 50, (100,), device="npu"),
            torch.bernoulli(chance),
            torch.multinomial(chance, 20),
            nn.functional.dropout(torch.ones(100, device="npu"), 0.5),
            torch.empty(100, device="npu").exponential_(),
        ]

    first, second = drawn(), drawn()
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    assert first[3].sort()[0].tolist() == list(range(100))
    assert set(first[4].tolist()) <= set(range(50))


@check
def random_numbers_have_their_distribution() -> None:
    """Means of 40,000 numbers, allowed six standard errors."""
    count = 40_000
    for numbers, mean, deviation in (
        (torch.rand(count, device="npu"), 0.5, 12**-0.5),
        (torch.empty(count, device="npu").normal_(2, 3), 2.0, 3.0),
        (torch.empty(count, device="npu").uniform_(-1, 3), 1.0, 4 / 12**0.5),
        (torch.empty(count, device="npu").bernoulli_(0.2), 0.2, 0.4),
        (torch.empty(count, device="npu").exponential_(2), 0.5, 0.5),
        (nn.functional.dropout(torch.ones(count, device="npu"), 0.25), 1.0, 3**-0.5),
    ):
        assert abs(numbers.cpu().double().mean().item() - mean) < 6 * deviation / count**0.5


@check
def dropout_masks_its_gradient() -> None:
    x = torch.ones(64, 64, device="npu", requires_grad=True)
    y = nn.functional.dropout(x, 0.4)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad.cpu(), y.detach().cpu())


@check
def adam_trains_as_on_the_cpu() -> None:
    def losses(device: str, **options: bool) -> list[float]:
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3)
        )
        inputs, labels = torch.randn(40, 8), torch.randint(3, (40,))
        model.to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, **options)
        found = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    expected = losses("cpu")
    assert expected[-1] < 0.8 * expected[0]
    for options in ({}, {"foreach": True}, {"fused": True}):
        assert losses("npu", **options) == pytest.approx(expected, rel=1e-4)


@check
def optimisers_step_as_on_the_cpu() -> None:
    start = torch.linspace(-2, 2, 12).reshape(3, 4)
    for name, options in (
        ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        ("AdamW", {"amsgrad": True}),
        ("RMSprop", {}),
        ("Adagrad", {}),
        ("Adadelta", {}),
        ("Adamax", {}),
        ("NAdam", {}),
        ("RAdam", {}),
    ):
        ends = []
        for device in ("cpu", "npu"):
            weight = nn.Parameter(start.clone().to(device))
            optimizer = getattr(torch.optim, name)([weight], lr=0.05, **options)
            for _ in range(5):
                optimizer.zero_grad()
                (weight * weight.sin()).sum().backward()
                optimizer.step()
            ends.append(weight.detach().cpu())
        torch.testing.assert_close(ends[1], ends[0], msg=lambda text, name=name: f"{name}: {text}")


@check
def scaled_gradients_skip_an_overflow() -> None:
    weight = nn.Parameter(torch.ones(4, device="npu"))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = torch.amp.GradScaler("npu", init_scale=64.0)
    for factor, step in ((1.0, 1.0), (float("inf"), 0.0)):
        before = weight.detach().cpu().clone()
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(before - weight.detach().cpu(), torch.full((4,), step))
    assert scaler.get_scale() == 32.0


@check
def outputs_may_be_views_of_inputs() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    y = x.npu()
    torch.add(y[:, :2], y[:, 2:], out=y[:, :2])
    torch.add(x[:, :2], x[:, 2:], out=x[:, :2])
    assert torch.equal(y.cpu(), x)


@check
def shapes_that_depend_on_data() -> None:
    x = torch.tensor([[0, 3, 0], [4, 0, 5]], device="npu")
    assert x.nonzero().tolist() == [[0, 1], [1, 0], [1, 2]]
    assert x[x > 0].tolist() == [3, 4, 5]
    assert torch.zeros(4, device="npu").nonzero().shape == (0, 1)
    assert torch.unique(x).tolist() == [0, 3, 4, 5]


@check
def empty_tensors() -> None:
    x = torch.empty(0, 3, device="npu")
    assert (x + 1).shape == (0, 3)
    assert x.sum().item() == 0
    assert torch.cat([x, torch.ones(2, 3, device="npu")]).sum().item() == 6
    assert torch.ones(2, 3, device="npu")[
        torch.empty(0, dtype=torch.int64, device="npu")
    ].shape == (0, 3)


#: aclDataType of torch's types.
TYPES = {torch.float32: 0, torch.float16: 1, torch.int32: 3, torch.int64: 9}


class OlderOperator:
    """One call through the older path's C functions."""

    def __init__(self, kind: str, output: torch.Tensor, *inputs: torch.Tensor, **integers: int):
        self.library = ctypes.CDLL("libascendcl.so")
        for name in ("aclCreateTensorDesc", "aclCreateDataBuffer", "aclopCreateAttr"):
            getattr(self.library, name).restype = ctypes.c_void_p
        attributes = ctypes.c_void_p(self.library.aclopCreateAttr())
        for name, value in integers.items():
            self.library.aclopSetAttrInt(attributes, name.encode(), ctypes.c_int64(value))
        torch.npu.synchronize()
        stream = ctypes.c_void_p(torch.npu.current_stream().npu_stream)
        self.code = self.library.aclopCompileAndExecute(
            kind.encode(), len(inputs), *self.arrays(inputs), 1, *self.arrays((output,)),
            attributes, 1, 0, None, stream,
        )  # fmt: skip
        torch.npu.synchronize()

    def arrays(self, tensors: Sequence[torch.Tensor]) -> tuple[ctypes.Array[Any], ...]:
        descriptions, buffers = [], []
        for tensor in tensors:
            sizes = (ctypes.c_int64 * tensor.dim())(*tensor.shape)
            described = self.library.aclCreateTensorDesc(
                TYPES[tensor.dtype], tensor.dim(), sizes, 2
            )
            if tensor.device.type == "cpu":
                self.library.aclSetTensorPlaceMent(ctypes.c_void_p(described), 1)
            descriptions.append(described)
            size = ctypes.c_size_t(tensor.untyped_storage().nbytes())
            address = ctypes.c_void_p(tensor.untyped_storage().data_ptr())
            buffers.append(self.library.aclCreateDataBuffer(address, size))
        pointers = ctypes.c_void_p * len(tensors)
        return pointers(*descriptions), pointers(*buffers)


@check
def older_operators() -> None:
    x = torch.arange(12, dtype=torch.float32, device="npu").reshape(3, 4)
    host = x.cpu()

    def given(
        kind: str, like: torch.Tensor, *inputs: torch.Tensor, **integers: int
    ) -> torch.Tensor:
        output = torch.full_like(like, -1, device="npu")
        assert OlderOperator(kind, output, *inputs, **integers).code == 0
        return output.cpu()

    def whole(*values: int) -> torch.Tensor:
        return torch.tensor(values)

    assert torch.equal(given("Identity", host, x), host)
    assert torch.equal(given("Cast", host.half(), x, dst_type=1), host.half())
    assert torch.equal(given("Cast", host.int(), x, dst_type=3), host.int())
    both = torch.cat([host, host * 2], 1)
    assert torch.equal(given("ConcatD", both, x, x * 2, concat_dim=1, N=2), both)
    part = host[1:, 1:3].contiguous()
    assert torch.equal(given("Slice", part, x, whole(1, 1), whole(2, 2)), part)
    wide = host[:1].expand(5, 4).contiguous()
    assert torch.equal(given("BroadcastTo", wide, x[:1].clone(), whole(5, 4)), wide)
    turned = host.t().contiguous()
    assert torch.equal(given("Transpose", turned, x, whole(1, 0)), turned)
    assert torch.equal(given("AsStrided", host[:, 1], x, whole(3), whole(4), whole(1)), host[:, 1])
    target = torch.zeros(3, 4, device="npu")
    source = torch.arange(6, dtype=torch.float32, device="npu").reshape(3, 2)
    views = (whole(3, 2), whole(4, 1), whole(1))
    contiguous = (whole(3, 2), whole(2, 1), whole(0))
    assert OlderOperator("ViewCopy", target, target, *views, source, *contiguous).code == 0
    expected = torch.zeros(3, 4)
    expected[:, 1:3] = source.cpu()
    assert torch.equal(target.cpu(), expected)
    assert OlderOperator("NoSuchOperator", target, x).code != 0
    usable()


@check
def every_known_name_is_exported() -> None:
    library = ctypes.CDLL("libopapi.so")
    library.accel_sim_operators.restype = ctypes.c_char_p
    computed = set(library.accel_sim_operators().decode().split())
    known = set(Path(sys.argv[1]).read_text().split())
    for name in computed | known - {"aclnnTopkV2"}:
        assert hasattr(library, name) and hasattr(library, f"{name}GetWorkspaceSize"), name
    assert not hasattr(library, "aclnnTopkV2")
    assert len(computed & known) >= 150
    print(f"{len(computed & known)} of {len(known)} operators are simulated")


def main() -> None:
    failed = {}
    for function in CHECKS:
        try:
            function()
        except BaseException:
            failed[function.__name__] = traceback.format_exc()
    print(json.dumps(failed))


if __name__ == "__main__":
    main()
