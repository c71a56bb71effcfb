"""Operations under way: a first-in, first-out worker, and what callers hold."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from .checks import check_timeout

__all__ = ["AsyncWork", "Job", "MessageJob", "Worker"]


class Job:
    """One operation. ``body`` does it; ``fail`` turns what went wrong into the caller's error.

    Ends exactly once: then ``error`` is what :meth:`AsyncWork.wait` raises, or None.
    """

    def __init__(
        self,
        what: str,
        body: Callable[[float | None], None],
        fail: Callable[[str, BaseException], BaseException],
        ended: Callable[[Job], None],
    ) -> None:
        self.what = what
        self.error: BaseException | None = None
        self.over = threading.Event()
        self._body: Callable[[float | None], None] | None = body
        self._fail = fail
        self._ended = ended

    def run(self, timeout: float | None = None) -> None:
        """Do it now, on this thread. Errors are kept, not raised."""
        body, self._body = self._body, None
        if body is None:
            raise AssertionError(f"{self.what} ran twice")
        try:
            body(timeout)
        except BaseException as error:
            self.error = self._fail(self.what, error)
        self._ended(self)
        self.over.set()

    def poll(self) -> bool:
        """Whether it is over."""
        return self.over.is_set()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end; False when time ran out first."""
        return self.over.wait(timeout)

    def abandon(self) -> None:
        """The caller dropped its handle: see to it that the operation ends by itself."""


class MessageJob(Job):
    """A point-to-point operation: its messages are under way, and someone must await them.

    Whoever calls :meth:`join` first does, so that a plain ``wait`` needs no thread. Polling and
    dropping need one: gloo tells that a message has passed only to a thread that waits for it.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._claim = threading.Lock()
        self._claimed = False

    def _take(self) -> bool:
        with self._claim:
            mine, self._claimed = not self._claimed, True
        return mine

    def _watch(self) -> None:
        if self._take():
            threading.Thread(target=self.run, name="accel-message", daemon=True).start()

    def poll(self) -> bool:
        first = not self._claimed
        self._watch()
        # Give a thread just started the time to see what has already happened.
        return self.over.wait(0.02) if first else self.over.is_set()

    def join(self, timeout: float | None) -> bool:
        if self._take():
            self.run(timeout)
            return True
        return self.over.wait(timeout)

    def abandon(self) -> None:
        self._watch()


class AsyncWork:
    """The ``Work`` that callers hold (see :class:`accel.providers.Work`)."""

    def __init__(
        self,
        job: Job,
        arrive: Callable[[], None],
        late: Callable[[Job, float], BaseException],
        seen: Callable[[], None],
    ) -> None:
        self._job = job
        self._arrive = arrive
        self._late = late
        self._seen = seen

    def wait(self, timeout: float | None = None) -> None:
        """Block until done; raises what went wrong, each time it is called."""
        if timeout is not None:
            timeout = check_timeout(timeout)
        job = self._job
        if not job.over.is_set() and not job.join(timeout):
            self._seen()
            raise self._late(job, timeout or 0.0)
        if job.error is not None:
            self._seen()
            raise job.error
        self._arrive()

    def is_completed(self) -> bool:
        """True when :meth:`wait` would return, or raise, at once."""
        return self._job.poll()

    def __del__(self) -> None:
        job = self.__dict__.get("_job")
        if job is not None and not job.over.is_set():
            job.abandon()

    def __repr__(self) -> str:
        state = "under way" if not self._job.over.is_set() else "done"
        if self._job.error is not None:
            state = "failed"
        return f"<Work {self._job.what}: {state}>"


class Worker:
    """Runs jobs one after the other on its own thread, started by the first of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pending = 0
        self._stopped = False

    @property
    def idle(self) -> bool:
        return self._pending == 0

    def submit(self, job: Job) -> None:
        with self._changed:
            if self._stopped:
                raise AssertionError("submit after stop")
            self._jobs.append(job)
            self._pending += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def stop(self, timeout: float) -> None:
        """Let queued jobs run (they fail fast on a closed group) and end the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._stopped:
                    self._changed.wait()
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            job.run()
            del job  # an idle worker keeps no tensors alive
            with self._changed:
                self._pending -= 1
