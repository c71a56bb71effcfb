"""Modes and faults: what the variables say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_sim import Fault, ModeError, Modes
from accel_sim.modes import parse_bytes

faults = st.one_of(
    st.builds(
        Fault,
        st.from_regex(r"[a-z][A-Za-z0-9_]{0,30}", fullmatch=True).filter(
            lambda name: name not in ("oom", "rank_dies", "copy_stalls")
        ),
        st.integers(1, 10**9),
        st.none() | st.integers(1, 2**31 - 1),
        st.none() | st.just("stream"),
    ),
    st.builds(Fault, st.just("oom"), st.integers(1, 100)),
    st.builds(Fault, st.just("rank_dies"), st.integers(1, 9), rank=st.none() | st.integers(0, 7)),
    st.builds(
        Fault, st.just("copy_stalls"), st.integers(1, 9), ms=st.none() | st.integers(0, 9999)
    ),
)
modes = st.builds(
    Modes,
    seed=st.none() | st.integers(0, 2**63 - 1),
    delay_us=st.integers(0, 10_000_000),
    strict=st.booleans(),
    faults=st.lists(faults, max_size=4).map(tuple),
    devices=st.none() | st.integers(1, 64),
    memory=st.none() | st.integers(2**20, 2**45),
)


@given(modes)
def test_variables_carry_everything(given_modes: Modes) -> None:
    assert Modes.from_variables(given_modes.variables()) == given_modes


def test_names_of_variables() -> None:
    """The C++ core reads these names and forms; they may not change on one side alone."""
    fault = Fault.parse("call=aclrtMemcpyAsync,nth=3,code=507899")
    full = Modes(7, 500, True, (fault, Fault.parse("oom,nth=2")), "/tmp/t", 4, 2**30)
    assert full.variables() == {
        "ACCEL_SIM_SEED": "7",
        "ACCEL_SIM_DELAY_US": "500",
        "ACCEL_SIM_STRICT": "1",
        "ACCEL_SIM_FAULTS": "call=aclrtMemcpyAsync,nth=3,code=507899;call=oom,nth=2",
        "ACCEL_SIM_TRACE": "/tmp/t",
        "ACCEL_SIM_DEVICES": "4",
        "ACCEL_SIM_MEMORY": "1073741824",
    }
    assert Modes().variables() == {}


@given(st.text(max_size=40))
def test_any_text_is_a_fault_or_a_clear_error(text: str) -> None:
    try:
        fault = Fault.parse(text)
    except ModeError as error:
        assert str(error).startswith("fault")
    else:
        assert Fault.parse(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected call="),
        ("nth=3", "given none"),
        ("call=f,nth=0", "nth >= 1, given 0"),
        ("call=f,nth=x", "expected a number for nth, given 'x'"),
        ("call=f,nth=1,nth=2", "nth is given twice"),
        ("call=f,rank=1", "takes nth, code, where, given rank as well"),
        ("call=f,where=host", "expected where=stream, given 'host'"),
        ("call=f g", "expected a function such as"),
        ("oom,ms=3", "takes nth, given ms as well"),
        ("stall", "given 'stall'"),
        ("call=f;call=g", "expected a function such as"),
    ],
)
def test_refused_faults(text: str, says: str) -> None:
    with pytest.raises(ModeError) as caught:
        Fault.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seed": -1}, "seed: expected 0 <= seed"),
        ({"delay_us": -5}, "delay_us: expected 0 to 10000000 microseconds, given -5"),
        ({"devices": 0}, "devices: expected 1 to 64, given 0"),
        ({"memory": 100}, "memory: expected at least 1 MiB a device, given 100 bytes"),
        ({"trace": "/no/such/folder/t"}, "existing folder, given /no/such/folder"),
    ],
)
def test_refused_modes(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ModeError) as caught:
        Modes(**arguments)  # type: ignore[arg-type]
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"ACCEL_SIM_SEED": "x"}, "ACCEL_SIM_SEED: expected a number, given 'x'"),
        ({"ACCEL_SIM_STRICT": "yes"}, "ACCEL_SIM_STRICT: expected 0 or 1, given 'yes'"),
        ({"ACCEL_SIM_FAULTS": "call=f,nth=z"}, "expected a number for nth"),
    ],
)
def test_refused_variables(variables: dict[str, str], says: str) -> None:
    with pytest.raises(ModeError) as caught:
        Modes.from_variables(variables)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("65536", 65536), ("64k", 65536), ("4GiB", 4 << 30), ("4g", 4 << 30), ("1.5G", 3 << 29),
        ("2GB", 2_000_000_000), (" 8 MiB ", 8 << 20), ("1T", 1 << 40), ("12B", 12),
    ],
)  # fmt: skip
def test_bytes(text: str, bytes_: int) -> None:
    assert parse_bytes(text) == bytes_


@pytest.mark.parametrize("text", ["", "x", "-4G", "4X", "1,5G", "G"])
def test_no_bytes(text: str) -> None:
    with pytest.raises(ModeError, match="memory: expected bytes"):
        parse_bytes(text)


def test_seed_is_chosen_once(tmp_path: Path) -> None:
    assert Modes(seed=5).seeded().seed == 5
    chosen = {Modes().seeded().seed for _ in range(20)}
    assert None not in chosen
    assert len(chosen) > 1
    assert Modes(trace=str(tmp_path / "t")).variables()["ACCEL_SIM_TRACE"] == str(tmp_path / "t")
