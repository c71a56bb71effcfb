"""Compiled kernels on disk, shared by processes.

An entry is a file named by its key: a hash of everything that decides its content (sources,
headers, options, chip, compiler). It has a header with its length and checksum, is written under
another name and then renamed, so readers see all of it or nothing. One process compiles an entry
while the others wait. Where the folder cannot be used, every process compiles for itself, which is
said once.

ACCEL_KERNEL_CACHE names the folder; else it is ``accel/kernels`` in XDG_CACHE_HOME or ``~/.cache``.
What is loaded from there runs with our rights, so folder and entries must belong to this user or
root, and nobody else may be able to write them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from accel.kernel_folder import kernel_folder
from accel.warn_once import warn_once

__all__ = ["KernelCache", "default_folder"]

#: magic, length of the image, its SHA-256, the key's SHA-256
_HEADER = struct.Struct("<8sQ32s32s")
_MAGIC = b"accelK01"
_PATIENCE = 180.0  # seconds to wait for another process before compiling as well


def default_folder() -> Path | None:
    """Where entries are kept; None when there is no home."""
    return kernel_folder("ACCEL_KERNEL_CACHE")


class KernelCache:
    """Entries of one folder. Threads may use it at the same time."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder``: instead of the default one."""
        self.folder = folder if folder is not None else default_folder()
        self._usable: bool | None = None
        self._threads = threading.Lock()
        self._building: dict[str, threading.Lock] = {}
        self._unsaved: dict[str, bytes] = {}

    @property
    def is_kept(self) -> bool:
        """Whether everything that was built is on disk."""
        return self._is_usable() and not self._unsaved

    def obtain(self, key: str, build: Callable[[], bytes]) -> tuple[bytes, bool]:
        """The image under ``key``, and whether it was there; else ``build`` makes it."""
        with self._threads:
            building = self._building.setdefault(key, threading.Lock())
        with building:
            image = self.read(key)
            if image is not None:
                return image, True
            with self._only_process(key):
                image = self.read(key)  # another process may have been at it
                if image is not None:
                    return image, True
                image = build()
                self._write(key, image)
                return image, False

    def find(self, beginning: str) -> bytes | None:
        """The newest sound image whose key begins so."""
        if not self._is_usable() or self.folder is None:
            return None
        paths = [p for p in self.folder.glob("*.kernel") if p.name.startswith(beginning)]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
            image = self.read(path.stem)
            if image is not None:
                return image
        return None

    def read(self, key: str) -> bytes | None:
        """The image, or None. A damaged entry is removed and said."""
        if key in self._unsaved:
            return self._unsaved[key]
        if not self._is_usable():
            return None
        path = self._path(key)
        try:
            content = _read_trusted(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            warn_once(f"the compiled kernel {path} cannot be used ({error}); it is compiled again")
            return None
        damage = _damage(content, key)
        if not damage:
            return content[_HEADER.size :]
        warn_once(f"the compiled kernel {path} is damaged ({damage}); it is compiled again")
        with suppress(OSError):
            path.unlink()
        return None

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}.kernel"

    def _write(self, key: str, image: bytes) -> None:
        if self._is_usable():
            try:
                self._write_file(self._path(key), _header(key, image) + image)
                return
            except OSError as error:
                self._say(f"{self.folder} cannot be written ({error})")
        self._unsaved[key] = image

    def _write_file(self, path: Path, content: bytes) -> None:
        number, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # else a crash may leave a name without its content
                os.fchmod(file.fileno(), 0o644)
            os.replace(fresh, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(fresh)
            raise

    @contextmanager
    def _only_process(self, key: str) -> Iterator[None]:
        """Holds the entry's lock; without it after a while, or where files cannot be locked."""
        path = self._path(key).with_suffix(".lock") if self._is_usable() else None
        try:
            file = open(path, "wb") if path is not None else None  # noqa: SIM115
        except OSError:
            file = None
        if file is None or path is None:
            yield
            return
        with file:
            if _lock(file.fileno(), _PATIENCE):
                try:
                    yield
                finally:
                    # Who waits holds this very file and finds the entry when it gets the lock.
                    with suppress(OSError):
                        path.unlink()
            else:
                yield

    def _is_usable(self) -> bool:
        if self._usable is None:
            with self._threads:
                self._usable = self._prepare()
        return self._usable

    def _prepare(self) -> bool:
        if self.folder is None:
            self._say("there is no home directory to keep them in")
            return False
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fault = _untrusted(os.stat(self.folder))
        except OSError as error:
            fault = str(error)
        if fault:
            self._say(f"{self.folder} is not used ({fault})")
        return not fault

    def _say(self, reason: str) -> None:
        warn_once(
            f"compiled kernels are not kept: {reason}. Every process compiles them anew. "
            "Cure: point ACCEL_KERNEL_CACHE at a folder that only you can write"
        )


def _header(key: str, image: bytes) -> bytes:
    digests = hashlib.sha256(image).digest(), hashlib.sha256(key.encode()).digest()
    return _HEADER.pack(_MAGIC, len(image), *digests)


def _damage(content: bytes, key: str) -> str:
    if len(content) < _HEADER.size:
        return f"{len(content)} bytes are no header"
    if content[: len(_MAGIC)] != _MAGIC:
        return "it is something else"
    if content[: _HEADER.size] != _header(key, content[_HEADER.size :]):
        return "its length or checksum is wrong"
    return ""


def _read_trusted(path: Path) -> bytes:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(number, "rb") as file:
        fault = _untrusted(os.fstat(number))
        if fault:
            raise PermissionError(fault)
        return file.read()


def _untrusted(status: os.stat_result) -> str:
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to user {status.st_uid}, who could put other code there"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write it, mode {stat.S_IMODE(status.st_mode):o}"
    return ""


def _lock(number: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        except OSError:  # file systems without locks
            return False
