"""The symbols that a shared object exports and wants, read from the file; nothing is loaded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["exported", "undefined"]

_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNSYM = 11  # section type
_WEAK = 2  # symbol binding
_UNDEFINED = 0  # section index


def exported(path: Path) -> dict[str, bool]:
    """The names of its dynamic symbols that are defined here, and whether each is weak.

    Raises:
        ValueError: it is no 64-bit little-endian ELF file.
    """
    return {
        name: binding == _WEAK for name, binding, section in _symbols(path) if section != _UNDEFINED
    }


def undefined(path: Path) -> set[str]:
    """The names of the symbols that it needs from others, weak ones left out.

    Raises:
        ValueError: as :func:`exported`.
    """
    return {
        name
        for name, binding, section in _symbols(path)
        if section == _UNDEFINED and binding != _WEAK
    }


def _symbols(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, binding and section of each dynamic symbol (System V ABI, chapter 4)."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path}: expected a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    headers = [_SECTION_HEADER.unpack_from(data, table + i * size) for i in range(count)]
    for header in headers:
        _, kind, _, _, offset, nbytes, link, _, _, entry = header
        if kind != _DYNSYM:
            continue
        names = headers[link][4]
        for at in range(offset, offset + nbytes, entry):
            name, info, _, section, _, _ = _SYMBOL.unpack_from(data, at)
            start = names + name
            text = data[start : data.index(b"\0", start)].decode()
            if text:
                yield text, info >> 4, section
