"""Limits on result size: the model gets the head and tail of a long text; an artifact file has all of it."""

import os
from pathlib import Path

from ml_intern.configs.paths import private_folder
from ml_intern.graph.limits import RESULT_CHARACTERS

HEAD_CHARACTERS = 8_000
TAIL_CHARACTERS = 11_000
_WIDEST_CHARACTER = 4


def join_head_and_tail(head: str, tail: str, left_out: int, rest: str) -> str:
    """Join the two ends of a text, cut at line ends; `left_out` characters are missing, `rest` says where they are."""
    shown_head, shown_tail = _up_to_newline(head), _from_newline(tail)
    missing = left_out + len(head) - len(shown_head) + len(tail) - len(shown_tail)
    return f"{shown_head}\n[... {missing:,} characters left out; {rest} ...]\n{shown_tail}"


def _up_to_newline(head: str) -> str:
    kept, newline, _ = head.rpartition("\n")
    return kept if newline and len(kept) > len(head) // 2 else head


def _from_newline(tail: str) -> str:
    _, newline, kept = tail.partition("\n")
    return kept if newline and len(kept) > len(tail) // 2 else tail


def shorten(text: str, path: Path) -> tuple[str, bool]:
    """Return `text` for the model, and whether it was shortened and the whole text saved to `path`."""
    if len(text) <= RESULT_CHARACTERS:
        return text, False
    try:
        write_private(path, text)
        saved, rest = True, f"full text: {path}"
    except OSError as error:  # the call ran: a full disk must not make its result unknown
        saved, rest = False, f"they could not be saved: {error.strerror}"
    left_out = len(text) - HEAD_CHARACTERS - TAIL_CHARACTERS
    return join_head_and_tail(text[:HEAD_CHARACTERS], text[-TAIL_CHARACTERS:], left_out, rest), saved


def shorten_file(path: Path, characters: int) -> tuple[str, bool]:
    """Do the same for a text of that many characters already in `path`. The file is never read whole.

    The result leaves room for a closing line of a few hundred characters within RESULT_CHARACTERS.
    """
    if characters <= HEAD_CHARACTERS + TAIL_CHARACTERS:
        return path.read_bytes().decode(errors="replace"), False
    with path.open("rb") as file:
        head = file.read(HEAD_CHARACTERS * _WIDEST_CHARACTER).decode(errors="replace")[:HEAD_CHARACTERS]
        file.seek(-min(path.stat().st_size, TAIL_CHARACTERS * _WIDEST_CHARACTER), os.SEEK_END)
        tail = file.read().decode(errors="replace")[-TAIL_CHARACTERS:]
    return join_head_and_tail(head, tail, characters - len(head) - len(tail), f"full text: {path}"), True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read (0600, its folder 0700)."""
    private_folder(path.parent)
    with open(path, "w", encoding="utf-8", errors="replace", opener=private_opener, newline="") as file:
        file.write(text)


def private_opener(path: str, flags: int) -> int:
    """Open a file for `open`, created so that only its owner can read it."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
