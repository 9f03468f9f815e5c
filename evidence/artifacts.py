"""Whether the file of a model or a table is whole, without running anything in it, and whether two files are equal."""

import json
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any, Final

from ml_intern.text.digests import file_digest

_MAX_PARSED: Final = 64 * 1024 * 1024


def broken(path: Path) -> str:
    """Return why a file cannot be loaded, or "" if nothing is wrong or the format is unknown."""
    try:
        return _broken(path)
    except (OSError, ValueError, EOFError, IndexError, struct.error, zipfile.BadZipFile, RecursionError) as error:
        return str(error)[:200] or type(error).__name__


def _broken(path: Path) -> str:
    size = path.stat().st_size
    if size == 0:
        return "it is empty" if path.suffix not in (".py", ".txt", ".log", ".gitkeep") else ""
    with path.open("rb") as file:
        start = file.read(16)
    if path.suffix == ".safetensors":
        return _safetensors(path, size)
    if start.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip() if size <= _MAX_PARSED else None
        return f"the member {bad} is damaged" if bad else ""
    if path.suffix in (".npz", ".docx", ".xlsx"):
        return "it is not a zip archive"
    if size > _MAX_PARSED:
        return ""
    if path.suffix in (".json", ".ipynb"):
        json.loads(path.read_text(encoding="utf-8"))
    if start[:1] == b"\x80" and path.suffix in (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".model", ".sav"):
        return _pickle(path)
    return ""


def _pickle(path: Path) -> str:
    """Read the opcodes of the pickle at the start of a file up to its end."""
    with path.open("rb") as file:
        try:
            for _ in pickletools.genops(file):
                pass
        except ValueError as error:
            # joblib puts the bytes of arrays between the opcodes
            return (
                "" if "opcode" in str(error) and path.suffix == ".joblib" else f"the pickle is cut off ({error})"[:200]
            )
    return ""


def _safetensors(path: Path, size: int) -> str:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, _MAX_PARSED):
            return "its header is cut off"
        header: dict[str, Any] = json.loads(file.read(length))
    ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    return "its data is cut off" if ends and 8 + length + max(ends) > size else ""


def same_content(one: Path, other: Path) -> bool:
    """Return whether two files have the same bytes or, for JSON, the same values."""
    try:
        if one.suffix != other.suffix:
            return False
        if file_digest(one) == file_digest(other):
            return one.stat().st_size > 0
        if one.suffix == ".json" and max(one.stat().st_size, other.stat().st_size) < _MAX_PARSED:
            return _within(json.loads(one.read_text(encoding="utf-8")), json.loads(other.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False
    return False


def _within(one: Any, other: Any) -> bool:
    """Whether all parts of `one` that are longer than a number are in `other`, with the same names."""
    if isinstance(one, dict) and isinstance(other, dict):
        return bool(one) and all(name in other and one[name] == other[name] for name in one)
    return bool(one == other)
