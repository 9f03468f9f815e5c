"""The size of results: head and tail for the model, the whole in an artifact file."""

import os
from pathlib import Path

from ml_intern.configs.paths import private_folder
from ml_intern.graph.limits import RESULT_CHARACTERS

HEAD_CHARACTERS = 8_000
TAIL_CHARACTERS = 11_000
_WIDEST_CHARACTER = 4


def head_and_tail(head: str, tail: str, left_out: int, rest: str) -> str:
    """The two ends of a text, cut at a line where one is near; `left_out` characters lie between, `rest` says where."""
    kept_head, kept_tail = _up_to_newline(head), _from_newline(tail)
    missing = left_out + len(head) - len(kept_head) + len(tail) - len(kept_tail)
    return f"{kept_head}\n[... {missing:,} characters left out; {rest} ...]\n{kept_tail}"


def _up_to_newline(head: str) -> str:
    kept, newline, _ = head.rpartition("\n")
    return kept if newline and len(kept) > len(head) // 2 else head


def _from_newline(tail: str) -> str:
    _, newline, kept = tail.partition("\n")
    return kept if newline and len(kept) > len(tail) // 2 else tail


def shorten(text: str, path: Path) -> tuple[str, bool]:
    """`text` as the model gets it, and whether the whole was written to `path` since that is only its ends."""
    if len(text) <= RESULT_CHARACTERS:
        return text, False
    try:
        write_private(path, text)
        kept, rest = True, f"all of it: {path}"
    except OSError as fault:  # the call ran: a full disk must not make its result unknown
        kept, rest = False, f"they could not be kept: {fault.strerror}"
    left_out = len(text) - HEAD_CHARACTERS - TAIL_CHARACTERS
    return head_and_tail(text[:HEAD_CHARACTERS], text[-TAIL_CHARACTERS:], left_out, rest), kept


def shorten_file(path: Path, characters: int) -> tuple[str, bool]:
    """The same for a text of that many characters that is in `path` already. The file is never read whole.

    A closing line of a few hundred characters still fits within RESULT_CHARACTERS.
    """
    if characters <= HEAD_CHARACTERS + TAIL_CHARACTERS:
        return path.read_bytes().decode(errors="replace"), False
    with path.open("rb") as file:
        head = file.read(HEAD_CHARACTERS * _WIDEST_CHARACTER).decode(errors="replace")[:HEAD_CHARACTERS]
        file.seek(-min(path.stat().st_size, TAIL_CHARACTERS * _WIDEST_CHARACTER), os.SEEK_END)
        tail = file.read().decode(errors="replace")[-TAIL_CHARACTERS:]
    return head_and_tail(head, tail, characters - len(head) - len(tail), f"all of it: {path}"), True


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read (0600, its folder 0700)."""
    private_folder(path.parent)
    with open(path, "w", encoding="utf-8", errors="replace", opener=private_opener, newline="") as file:
        file.write(text)


def private_opener(path: str, flags: int) -> int:
    """An opener for `open` that creates files for their owner alone."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
