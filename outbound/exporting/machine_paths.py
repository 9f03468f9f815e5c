"""Shorten the paths of this machine in a document that is meant to be shared."""

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ml_intern.configs.paths import data_home
from ml_intern.outbound.conversation import Call, Conversation, Message

_SYSTEM: Final = frozenset(
    ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr")
)
"""Top-level folders that are the same on every machine."""
_REST: Final = r"(?:/[^\s\"'`<>|;,:()\[\]{}*?\\]*)?"
_BEFORE: Final = r"(?:(?<![\w.~…-])|(?<=\s-[A-Za-z]))"
"""A path begins after a separator, or directly after a short option such as -I."""

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]
"""The pattern of a path, and what replaces a match."""


def shorten_paths(conversation: Conversation) -> Conversation:
    """Return the conversation with paths of the workspace relative to it, and of others only the last part.

    Other paths are those below folders that exist on this machine, except the system's.
    """
    shorten = partial(_shortened, rules=_rules(conversation.folder))
    messages = tuple(_message(message, shorten) for message in conversation.messages)
    endings = {turn: replace(end, text=shorten(end.text)) for turn, end in conversation.endings.items()}
    title, model = shorten(conversation.title), shorten(conversation.model)  # a model can be a file
    return replace(conversation, messages=messages, endings=endings, title=title, model=model)


def _message(message: Message, shorten: Callable[[str], str]) -> Message:
    calls = tuple(Call(call.id, call.name, _values(call.args, shorten)) for call in message.calls)
    return replace(message, text=shorten(message.text), reasoning=shorten(message.reasoning), calls=calls)


def _values(value: Any, shorten: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, Mapping):
        return {name: _values(one, shorten) for name, one in value.items()}
    return [_values(one, shorten) for one in value] if isinstance(value, list) else value


def _rules(folder: str) -> list[Rule]:
    """Return the patterns of paths and what replaces each match, in the order in which they apply."""
    rules: list[Rule] = []
    for root in _below_root(folder, os.path.realpath(folder)) if folder.startswith("/") else ():
        rules.append((_pattern(re.escape(root)), partial(_inside, root)))
    home, above = str(Path.home()), str(PurePosixPath(folder or "/").parent)
    known = {home, str(data_home()), tempfile.gettempdir(), above}
    rules += [(_pattern(re.escape(one)), _last_part) for one in _below_root(*known)]
    if others := _other_folders():
        rules.append((_pattern(f"/(?:{'|'.join(map(re.escape, others))})"), _last_part))
    return rules


def _below_root(*paths: str) -> list[str]:
    """Return the different absolute paths, without the root folder, the longest first."""
    below = {path for path in paths if path.startswith("/") and len(PurePosixPath(path).parts) > 1}
    return sorted(below, key=len, reverse=True)


def _pattern(root: str) -> re.Pattern[str]:
    return re.compile(rf"{_BEFORE}(?:file://)?{root}(?![\w-]|\.\w){_REST}")


def _other_folders() -> list[str]:
    """Return the top-level folders of this machine that are not the system's."""
    try:
        return [entry.name for entry in os.scandir("/") if entry.is_dir() and entry.name not in _SYSTEM]
    except OSError:
        return []


def _shortened(text: str, rules: list[Rule]) -> str:
    if "/" not in text:
        return text
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _inside(root: str, found: re.Match[str]) -> str:
    inside = found[0].removeprefix("file://").removeprefix(root).lstrip("/")
    return inside or _last_part(found)


def _last_part(found: re.Match[str]) -> str:
    """Return the last part of a path, marked as shortened. The home folder, whose name is the user's, becomes "~"."""
    path = found[0].removeprefix("file://").rstrip("/")
    return "~" if path == str(Path.home()) else f"…/{PurePosixPath(path).name}"
