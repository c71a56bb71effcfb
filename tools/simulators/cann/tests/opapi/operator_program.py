"""Runs every case of operator_cases.py on the CPU and on the NPU; prints one JSON line.

Each tensor is tried as it is, as a transposed view, and as a part of a larger buffer that begins at
an offset. A call for which torch_npu falls back to the CPU counts as failed: it tests nothing here.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from operator_cases import CASES, Case

#: Where the CPU rounds between steps that one operator of the NPU does at once.
#: Attention is float16, and its gradients are sums that cancel: some units in the last place at 1.
TOLERANCE = {"attention": {"rtol": 1e-2, "atol": 8e-3}}
LAYOUTS = ("plain", "transposed", "offset")


def laid_out(tensor: torch.Tensor, layout: str, device: str) -> torch.Tensor:
    """The tensor's values on a device, in storage of the layout."""
    if layout == "transposed":
        return tensor.transpose(0, -1).contiguous().to(device).transpose(0, -1)
    if layout == "offset":
        buffer = torch.zeros(tensor.numel() + 7, dtype=tensor.dtype)
        buffer[5:-2] = tensor.reshape(-1)
        return buffer.to(device)[5:-2].view(tensor.shape)
    return tensor.detach().clone().to(device)


def flat(result: Any) -> Iterable[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        yield result
    else:
        for part in result:
            yield from flat(part)


def called(case: Case, tensors: list[torch.Tensor], layout: str, device: str) -> list[torch.Tensor]:
    given = [laid_out(tensor, layout, device) for tensor in tensors]
    if not case.gradients:
        return [part.cpu() for part in flat(case.call(*given))]
    sources = given if case.gradients == "all" else given[:1]
    sources = [one.requires_grad_() for one in sources if one.is_floating_point()]
    results = list(flat(case.call(*given)))
    weights = [torch.arange(part.numel()).reshape(part.shape) % 3 + 1.0 for part in results]
    torch.autograd.backward(
        results, [one.to(part) for one, part in zip(weights, results, strict=True)]
    )
    gradients = [one.grad for one in sources if one.grad is not None]
    assert len(gradients) == len(sources)
    return [part.detach().cpu() for part in (*results, *gradients)]


def trouble(case: Case, layout: str, random: torch.Generator) -> str | None:
    """What is wrong with a case, if anything."""
    tensors = [maker(random) for maker in case.makers]
    expected = called(case, tensors, layout, "cpu")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            found = called(case, tensors, layout, "npu")
        except Exception as error:
            torch.npu.synchronize()
            return f"{type(error).__name__}: {str(error)[-300:]}"
    for warning in heard:
        if "fall back" in str(warning.message):
            return f"fell back to the CPU: {str(warning.message)[:200]}"
    if len(found) != len(expected):
        return f"{len(found)} results for {len(expected)}"
    for one, other in zip(found, expected, strict=True):
        try:
            torch.testing.assert_close(one, other, equal_nan=True, **TOLERANCE.get(case.family, {}))
        except AssertionError as error:
            return " ".join(str(error).split())[:300]
    return None


def main() -> None:
    seed, wanted = int(sys.argv[1]), sys.argv[2:]
    random = torch.Generator().manual_seed(seed)
    failures = []
    counts: dict[str, int] = {}
    for case in CASES:
        if wanted and case.family not in wanted:
            continue
        for layout in LAYOUTS:
            counts[case.family] = counts.get(case.family, 0) + 1
            wrong = trouble(case, layout, random)
            if wrong is not None:
                failures.append([case.family, f"{case.name}, {layout}", wrong])
    print(json.dumps({"counts": counts, "failures": failures}))


if __name__ == "__main__":
    main()
