"""The paths that unpacking an archive writes: the destination and the names in the archive."""

import posixpath
import re
from collections.abc import Iterator, Sequence

from ml_intern.safety.shell.invocations import Invocation
from ml_intern.safety.shell.paths import CommandContext

_TAR = frozenset({"tar", "gtar", "bsdtar"})
_ARCHIVERS = _TAR | {"unzip", "zip", "7z", "7za", "7zz", "cpio", "pax", "jar", "unrar"}
_RENAMES = re.compile(r"--(?:transform|xform)=?(.*)|-s(.+)")


def is_archiver(one: Invocation) -> bool:
    """Return whether the program packs or unpacks archives, so that operands may be read only."""
    return one.name in _ARCHIVERS


def archive_targets(one: Invocation, context: CommandContext) -> Iterator[str]:
    """Yield what an invocation of an archiver writes."""
    if one.name in _TAR:
        yield from _tar(one, context)
    elif one.name in {"unzip", "unrar", "jar", "7z", "7za", "7zz"}:
        yield from _unzip(one, context)
    elif one.name == "zip":
        yield from one.operands[:1]
    elif one.name.startswith("python") and one.arguments[:2] in {("-m", "zipfile"), ("-m", "tarfile")}:
        yield from _python(one.arguments[2:], one, context)


def _tar(one: Invocation, context: CommandContext) -> Iterator[str]:
    arguments = one.arguments
    mode = arguments[0] if arguments else ""
    archive = _value(arguments, "f", "file") or (arguments[1] if "f" in mode and len(arguments) > 1 else "")
    letters = "" if mode.startswith("--") else mode
    if "x" not in letters and {"--extract", "--get"}.isdisjoint(arguments):
        if "t" not in letters and "--list" not in arguments:
            yield archive
        return
    folder = _value(arguments, "C", "directory") or "."
    yield folder
    yield from (word.partition("=")[2] for word in arguments if word.startswith("--one-top-level="))
    strip = _value(arguments, "\0", "strip-components")
    for word in arguments:
        if (rename := _RENAMES.match(word)) and ".git" in (rename[1] or rename[2] or ""):
            yield posixpath.join(folder, ".git/config")
    yield from _members(archive, folder, one, (context, int(strip) if strip.isdigit() else 0))


def _unzip(one: Invocation, context: CommandContext) -> Iterator[str]:
    if one.name.startswith("7z") and one.operands[:1] not in {("x",), ("e",)}:
        return
    folder = _value(one.arguments, "d", "directory") or next(
        (word[2:] for word in one.arguments if word.startswith("-o") and word[2:]), "."
    )
    yield folder
    archives = [word for word in one.operands if word != folder and word not in {"x", "e"}]
    yield from _members(archives[0] if archives else "", folder, one, (context, 0))


def _python(arguments: Sequence[str], one: Invocation, context: CommandContext) -> Iterator[str]:
    if len(arguments) >= 2 and arguments[0] in {"-e", "--extract"}:
        folder = arguments[2] if len(arguments) > 2 else "."
        yield folder
        yield from _members(arguments[1], folder, one, (context, 0))


def _members(archive: str, folder: str, one: Invocation, where: tuple[CommandContext, int]) -> Iterator[str]:
    context, strip = where
    for cwd in one.folders if archive else ():
        for name in context.files.members(context.absolute(archive, cwd)) or ():
            parts = [part for part in name.split("/") if part not in {"", "."}][strip:]
            if parts:
                yield posixpath.join(folder, *parts)


def _value(arguments: Sequence[str], letter: str, name: str) -> str:
    for index, word in enumerate(arguments):
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if word == f"--{name}" or re.fullmatch(rf"-[a-zA-Z]*{letter}", word):
            return following
        if re.fullmatch(rf"-{letter}[./\w].*", word):
            return word[2:]
    return ""
