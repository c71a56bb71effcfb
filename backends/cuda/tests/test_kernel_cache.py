"""Compiled kernels on disk: whole or absent, shared by processes, never trusted blindly."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest

import accel
from accel.warn_once import forget_warnings
from accel_cuda.kernel_cache import KernelCache, default_folder

KEY = "file-sm_90-0123-4567"


@pytest.fixture(autouse=True)
def fresh_warnings():
    forget_warnings()
    yield
    forget_warnings()


def image(seed=1, size=10_000):
    return random.Random(seed).randbytes(size)


def never():
    raise AssertionError("compiled again")


def test_an_entry_survives_the_process(tmp_path):
    folder = tmp_path / "deep" / "folder"
    assert KernelCache(folder).obtain(KEY, image) == (image(), False)
    assert KernelCache(folder).obtain(KEY, never) == (image(), True)
    assert [path.name for path in folder.iterdir()] == [f"{KEY}.kernel"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert KernelCache(folder).obtain("other", lambda: image(2)) == (image(2), False)


def test_find_by_the_beginning_of_a_key(tmp_path):
    cache = KernelCache(tmp_path)
    assert cache.find("file-sm_90-0123-") is None
    cache.obtain("file-sm_90-0123-4567", image)
    cache.obtain("file-sm_90-4444-4567", lambda: image(2))
    assert cache.find("file-sm_90-0123-") == image()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:40],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"#!/bin/sh\n" + content[10:],
        lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
        lambda content: content[:8] + b"\xff" * 8 + content[16:],
    ],
)
def test_a_damaged_entry_is_made_anew_and_said_once(tmp_path, damage):
    KernelCache(tmp_path).obtain(KEY, image)
    path = tmp_path / f"{KEY}.kernel"
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    with pytest.warns(accel.AccelWarning, match=r"is damaged \(.*compiled again") as said:
        assert KernelCache(tmp_path).obtain(KEY, image) == (image(), False)
    assert len(said) == 1
    assert path.read_bytes() == sound


def test_an_entry_under_another_name_is_damaged(tmp_path):
    KernelCache(tmp_path).obtain("old", image)
    (tmp_path / "old.kernel").rename(tmp_path / f"{KEY}.kernel")
    with pytest.warns(accel.AccelWarning, match="checksum"):
        assert KernelCache(tmp_path).obtain(KEY, lambda: image(2)) == (image(2), False)


@pytest.mark.parametrize("where", ["folder", "entry"])
def test_what_others_may_write_is_not_loaded(tmp_path, where):
    folder = tmp_path / "kernels"
    KernelCache(folder).obtain(KEY, image)
    (folder if where == "folder" else folder / f"{KEY}.kernel").chmod(0o777)
    with pytest.warns(accel.AccelWarning, match="others may write it, mode 777"):
        assert KernelCache(folder).obtain(KEY, lambda: image(2)) == (image(2), False)


@pytest.mark.skipif(os.geteuid() != 0, reason="root: only it can give a folder to another user")
def test_a_folder_of_somebody_else_is_not_used(tmp_path):
    folder = tmp_path / "kernels"
    KernelCache(folder).obtain(KEY, image)
    os.chown(folder, 12345, -1)
    with pytest.warns(accel.AccelWarning, match="belongs to user 12345"):
        assert KernelCache(folder).obtain(KEY, lambda: image(2)) == (image(2), False)


def test_a_link_is_not_followed(tmp_path):
    KernelCache(tmp_path / "a").obtain(KEY, image)
    other = tmp_path / "b"
    other.mkdir(mode=0o700)
    (other / f"{KEY}.kernel").symlink_to(tmp_path / "a" / f"{KEY}.kernel")
    with pytest.warns(accel.AccelWarning, match="cannot be used"):
        assert KernelCache(other).obtain(KEY, lambda: image(2)) == (image(2), False)
    assert KernelCache(other).obtain(KEY, never) == (image(2), True)
    assert KernelCache(tmp_path / "a").obtain(KEY, never) == (image(), True)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    cache = KernelCache(tmp_path / "file" / "kernels")
    with pytest.warns(accel.AccelWarning, match=r"are not kept.*ACCEL_KERNEL_CACHE"):
        assert cache.obtain(KEY, image) == (image(), False)
    with warnings.catch_warnings():  # said once
        warnings.simplefilter("error")
        assert cache.obtain("other", lambda: image(2)) == (image(2), False)
        assert cache.obtain(KEY, never) == (image(), True)  # this process still has it


def test_a_full_disk(tmp_path):
    """A limit on the size of files stands in for it: the write fails half-way."""
    done = run(
        f"""
        import resource, signal, warnings
        from pathlib import Path
        from accel_cuda.kernel_cache import KernelCache
        folder = Path({str(tmp_path / "kernels")!r})
        KernelCache(folder).obtain("early", lambda: b"early")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        warnings.simplefilter("always")
        cache = KernelCache(folder)
        assert cache.obtain("large", lambda: b"x" * 100000) == (b"x" * 100000, False)
        assert cache.obtain("larger", lambda: b"y" * 100000) == (b"y" * 100000, False)
        assert cache.obtain("large", None) == (b"x" * 100000, True)
        assert cache.obtain("early", None) == (b"early", True)
        print(sorted(path.name for path in folder.iterdir()))
        """
    )
    assert done.stdout.strip() == "['early.kernel']"
    assert done.stderr.count("compiled kernels are not kept") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="an ordinary user: root writes everywhere")
def test_a_folder_that_can_only_be_read(tmp_path):
    KernelCache(tmp_path).obtain(KEY, image)
    tmp_path.chmod(0o500)
    try:
        cache = KernelCache(tmp_path)
        assert cache.obtain(KEY, never) == (image(), True)
        with pytest.warns(accel.AccelWarning, match="cannot be written"):
            assert cache.obtain("other", lambda: image(2)) == (image(2), False)
    finally:
        tmp_path.chmod(0o700)


def test_threads_compile_once(tmp_path):
    cache, builds, results = KernelCache(tmp_path), [], []

    def build():
        builds.append(1)
        time.sleep(0.05)
        return image()

    threads = [
        threading.Thread(target=lambda: results.append(cache.obtain(KEY, build)[0]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [image()] * 8 and len(builds) == 1


def _process(folder, start, log):
    warnings.simplefilter("error")
    cache = KernelCache(Path(folder))

    def build():
        with open(log, "a") as file:
            file.write("built\n")
        time.sleep(0.05)
        return image(size=300_000)

    start.wait()
    for number in range(5):
        got, _ = cache.obtain(f"key{number}", build)
        if got != image(size=300_000):
            sys.exit(3)


def test_processes_compile_once_and_see_whole_entries(tmp_path):
    context = multiprocessing.get_context("fork")
    start, log = context.Event(), tmp_path / "log"
    folder = tmp_path / "kernels"
    processes = [
        context.Process(target=_process, args=(str(folder), start, str(log))) for _ in range(6)
    ]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    assert len(log.read_text().splitlines()) == 5
    assert sorted(path.name for path in folder.iterdir()) == [f"key{n}.kernel" for n in range(5)]


def test_a_process_that_dies_leaves_no_lock(tmp_path):
    done = run(
        f"""
        import os
        from pathlib import Path
        from accel_cuda.kernel_cache import KernelCache
        KernelCache(Path({str(tmp_path)!r})).obtain({KEY!r}, lambda: os._exit(7))
        """,
        status=7,
    )
    assert done.returncode == 7
    begin = time.monotonic()
    assert KernelCache(tmp_path).obtain(KEY, image) == (image(), False)
    assert time.monotonic() - begin < 60  # a lock left behind would cost 180 s


def test_a_build_that_fails_may_be_tried_again(tmp_path):
    cache = KernelCache(tmp_path)
    with pytest.raises(AssertionError, match="compiled again"):
        cache.obtain(KEY, never)
    assert cache.obtain(KEY, image) == (image(), False)


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCEL_KERNEL_CACHE", str(tmp_path / "given"))
    assert default_folder() == tmp_path / "given"
    monkeypatch.delenv("ACCEL_KERNEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "accel" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification: to be ignored
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / ".cache" / "accel" / "kernels"


def run(code, status=0):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done
