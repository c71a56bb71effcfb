"""Tasks in processes of their own: every way to end is an outcome."""

from __future__ import annotations

from accel_tools.isolation import run_isolated


def test_a_task_that_returns() -> None:
    outcome = run_isolated("import_torch")
    assert outcome.ok
    assert "works" in outcome.value


def test_a_task_that_raises_and_one_that_hangs() -> None:
    raised = run_isolated("no_such_task")
    assert not raised.ok
    assert "exit status 1" in raised.failure
    assert "no_such_task" in raised.output
    hung = run_isolated("survey", timeout=0.001)
    assert not hung.ok
    assert "did not end within" in hung.failure
