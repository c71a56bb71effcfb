"""Networks, gradients, optimisers and mixed precision against the CPU; random numbers by seed."""

from __future__ import annotations

from typing import Any

NETWORK = """
import copy, torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.images = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, groups=2), nn.GroupNorm(2, 8), nn.SiLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.words = nn.Embedding(20, 32)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm = nn.LayerNorm(32)
        self.end = nn.Linear(64, 5)

    def forward(self, images, words):
        x = self.norm(self.words(words))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.end(torch.cat([self.images(images), x.mean(1)], 1))

torch.manual_seed(0)
cpu = Network()
device = copy.deepcopy(cpu).mlu()
assert next(device.parameters()).is_mlu
images, words, labels = torch.randn(6, 3, 12, 12), torch.randint(20, (6, 7)), torch.randint(5, (6,))
"""


def test_a_network_of_many_layers(mlu: Any) -> None:
    """Losses, gradients, buffers and weights after some steps are the CPU's."""
    code = (
        NETWORK
        + """
def train(model, place):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        out = model(images.to(place), words.to(place))
        loss = nn.functional.cross_entropy(out, labels.to(place))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return loss.detach().cpu()

torch.testing.assert_close(train(device, "mlu"), train(cpu, "cpu"), rtol=1e-3, atol=1e-3)
for one, other in zip(device.state_dict().values(), cpu.state_dict().values(), strict=True):
    torch.testing.assert_close(one.cpu(), other, rtol=1e-2, atol=1e-3)
for one, other in zip(device.parameters(), cpu.parameters(), strict=True):
    torch.testing.assert_close(one.grad.cpu(), other.grad, rtol=1e-2, atol=1e-3)
print("ok")
"""
    )
    assert mlu(delay_us=20).python(code).last == "ok"


def test_optimisers(mlu: Any) -> None:
    """One after another, in loops over tensors and in one operator, for given gradients."""
    code = """
    import torch
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 5), torch.randn(5, 4, 5)
    def end(make, place):
        weights = start.clone().to(place).requires_grad_()
        optimizer = make([weights])
        for gradient in gradients:
            weights.grad = gradient.to(place)
            optimizer.step()
        return weights.detach().cpu()
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop):
        expected = end(lambda p: kind(p, lr=0.1, foreach=False), "cpu")
        torch.testing.assert_close(end(lambda p: kind(p, lr=0.1), "mlu"), expected)
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        expected = end(lambda p: kind(p, lr=0.1, foreach=False), "cpu")
        torch.testing.assert_close(end(lambda p: kind(p, lr=0.1, fused=True), "mlu"), expected)
    print("ok")
    """
    assert mlu(delay_us=20).python(code).last == "ok"


def test_mixed_precision(mlu: Any) -> None:
    code = (
        NETWORK
        + """
scaler, optimizer = torch.amp.GradScaler("mlu"), torch.optim.SGD(device.parameters(), lr=0.1)
with torch.autocast("mlu", dtype=torch.float16):
    out = device(images.mlu(), words.mlu())
    assert out.dtype == torch.float16
    assert nn.functional.softmax(out, -1).dtype == torch.float32
    loss = nn.functional.cross_entropy(out, labels.mlu())
assert loss.dtype == torch.float32
scaler.scale(loss).backward()
before = device.end.bias.detach().clone()
scaler.step(optimizer)
scaler.update()
assert device.end.bias.grad.dtype == torch.float32 and not torch.equal(before, device.end.bias)
expected = nn.functional.cross_entropy(cpu(images, words), labels)
print(abs(loss.item() - expected.item()) < 0.05, torch.mlu.get_amp_supported_dtype())
"""
    )
    assert mlu().python(code).last == "True [torch.float16, torch.bfloat16]"


def test_random_numbers(mlu: Any) -> None:
    """Equal seeds give equal values on queues that dawdle, on both devices; others do not."""
    code = """
    import torch
    from torch.nn import functional as F
    ones = torch.ones(200, device="mlu")
    draws = [
        lambda: torch.rand(200, device="mlu"), lambda: torch.randn(200, device="mlu"),
        lambda: torch.randint(1000, (200,), device="mlu"),
        lambda: torch.randperm(200, device="mlu"),
        lambda: torch.bernoulli(ones / 2), lambda: torch.multinomial(ones, 20),
        lambda: torch.normal(ones, 2.0), lambda: torch.empty(200, device="mlu").exponential_(),
        lambda: F.dropout(ones, 0.5),
    ]
    for draw in draws:
        torch.manual_seed(7)
        first, second = draw(), draw()
        torch.manual_seed(7)
        assert torch.equal(draw(), first) and torch.equal(draw(), second)
        assert not torch.equal(first, second)
    torch.mlu.manual_seed_all(3)
    state = torch.mlu.get_rng_state(1)
    first = torch.rand(50, device="mlu:1")
    assert torch.equal(first.cpu(), torch.rand(50, device="mlu:0").cpu())
    torch.mlu.set_rng_state(state, 1)
    assert torch.equal(torch.rand(50, device="mlu:1"), first)
    own = torch.Generator(device="mlu").manual_seed(11)
    first = torch.rand(50, device="mlu", generator=own)
    assert torch.equal(torch.rand(50, device="mlu", generator=own.manual_seed(11)), first)
    many = torch.rand(20000, device="mlu")
    assert 0 <= many.min() and many.max() < 1 and abs(many.mean().item() - 0.5) < 0.02
    x = torch.ones(20000, device="mlu", requires_grad=True)
    dropped = F.dropout(x, 0.25)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())
    assert abs((dropped == 0).float().mean().item() - 0.25) < 0.03
    print("ok")
    """
    assert mlu(delay_us=50).python(code).last == "ok"
