"""KVPool against a simple model: random sequences that fork, write, end and wait for events."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import accel

BLOCKS = 9


class Flag:
    def __init__(self) -> None:
        self.done = False

    def query(self) -> bool:
        return self.done


class PoolMachine(RuleBasedStateMachine):
    """The model: sequences are lists of (block, tag); waiting references are lists per event."""

    @initialize(layout=st.sampled_from(["vllm_nhd", "vllm_hnd", "sglang_page_head", "mla"]))
    def start(self, layout: str) -> None:
        planes = 1 if layout == "mla" else 2
        self.pool = accel.KVPool(
            accel.get_backend("cpu"), BLOCKS * planes * 2 * 8, layers=2, heads=1, head_dim=4,
            dtype=torch.int8, block_size=2, layout=layout,
        )  # fmt: skip
        self.sequences: list[list[tuple[int, int]]] = []
        self.waiting: list[tuple[Flag, list[int]]] = []
        self.tags = 0

    # --- the model ---------------------------------------------------------------------------

    def held(self) -> Counter[int]:
        return Counter(b for s in self.sequences for b, _ in s)

    def in_wait(self) -> Counter[int]:
        return Counter(b for flag, blocks in self.waiting if not flag.done for b in blocks)

    def free(self) -> int:
        return BLOCKS - len(set(self.held()) | set(self.in_wait()))

    def write(self, sequence: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """New contents in every block."""
        out = []
        for block, _ in sequence:
            self.tags = self.tags % 127 + 1
            for layer in range(2):
                for plane in range(self.pool.cache.planes):
                    self.pool.cache.view(layer, plane)[block] = self.tags
            out.append((block, self.tags))
        return out

    # --- what can happen ---------------------------------------------------------------------

    @rule(n=st.integers(0, 5))
    def begin(self, n: int) -> None:
        before = set(self.held()) | set(self.in_wait())
        if n > self.free():
            with pytest.raises(accel.OutOfBlocksError) as caught:
                self.pool.allocate(n)
            assert (caught.value.wanted, caught.value.free) == (n, self.free())
            return
        blocks = self.pool.allocate(n)
        assert len(set(blocks)) == n
        assert not before & set(blocks)
        self.sequences.append(self.write([(b, 0) for b in blocks]))

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.sequences))
        prefix = chosen[: data.draw(st.integers(0, len(chosen)))]
        self.pool.retain([b for b, _ in prefix])
        self.sequences.append(list(prefix))

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def rewrite(self, data: st.DataObject) -> None:
        """Copy-on-write, then new contents: other sequences must not notice."""
        i = data.draw(st.integers(0, len(self.sequences) - 1))
        mine = self.sequences[i]
        blocks = [b for b, _ in mine]
        references = self.held() + self.in_wait()
        shared = [b for b in blocks if references[b] > 1]
        if len(shared) > self.free():
            with pytest.raises(accel.OutOfBlocksError):
                self.pool.make_writable(blocks)
            return
        taken = set(references)
        result = self.pool.make_writable(blocks)
        for old, new in zip(blocks, result, strict=True):
            assert (new not in taken) if old in shared else new == old
        copied = [(b, tag) for b, (_, tag) in zip(result, mine, strict=True)]
        self.sequences[i] = copied
        self.check_contents()
        self.sequences[i] = self.write(copied)

    @precondition(lambda self: self.sequences)
    @rule(data=st.data(), later=st.booleans())
    def end(self, data: st.DataObject, later: bool) -> None:
        mine = self.sequences.pop(data.draw(st.integers(0, len(self.sequences) - 1)))
        blocks = data.draw(st.permutations([b for b, _ in mine]))
        if later:
            flag = Flag()
            self.pool.release(blocks, after=flag)  # type: ignore[arg-type]
            self.waiting.append((flag, blocks))
        else:
            self.pool.release(blocks)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.waiting))[0].done = True

    @rule(block=st.integers(-3, BLOCKS + 3), good=st.booleans())
    def release_wrongly(self, block: int, good: bool) -> None:
        """A free, waiting or foreign block, alone or beside a good one."""
        held = self.held()
        if held[block]:
            return
        blocks = [*list(held)[: 1 if good else 0], block]
        with pytest.raises((accel.FreedError, accel.SlotError)):
            self.pool.release(blocks)

    # --- what is always true -----------------------------------------------------------------

    @invariant()
    def check_counts(self) -> None:
        if not hasattr(self, "pool"):
            return
        held = self.held()
        assert self.pool.used == len(held)
        assert self.pool.pending == len(set(self.in_wait()) - set(held))
        assert self.pool.free == self.free()
        assert [self.pool.references(b) for b in range(BLOCKS)] == [held[b] for b in range(BLOCKS)]

    @invariant()
    def check_contents(self) -> None:
        if not hasattr(self, "pool"):
            return
        cache = self.pool.cache
        for block, tag in {pair for sequence in self.sequences for pair in sequence}:
            for layer in range(2):
                for plane in range(cache.planes):
                    assert (cache.view(layer, plane)[block] == tag).all()


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
