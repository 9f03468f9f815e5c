"""The prompt of a headless run: the words of the command line and piped input."""

import os
import select
import stat
import sys

from ml_intern.configs.errors import UsageError
from ml_intern.graph.operations import UserInput

FIRST_BYTE_SECONDS = 3.0
"""How long a prompt on the command line waits for a pipe that may never say anything."""
MAX_BYTES = 16 * 2**20


def read_prompt(given: str | None) -> UserInput | None:
    """The prompt, with piped stdin appended as a block; only what stands on the command line then is the user's word.

    `-` stands for stdin alone. None when there is neither.
    """
    words = "" if given in (None, "-") else _clean(given or "")
    piped = read_stdin(wait=not words)
    if words.strip() and piped.strip():
        return UserInput(f"{words}\n\n<stdin>\n{piped.rstrip()}\n</stdin>", typed=words, sources=("a pipe",))
    if not (words or piped).strip():
        return None
    return UserInput(words or piped)


def read_stdin(*, wait: bool) -> str:
    """All of stdin when it is no terminal. Without `wait`, a pipe that says nothing for 3 seconds is left alone.

    Raises:
        UsageError: it is too much, or no text.
    """
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    descriptor = sys.stdin.fileno()
    if not wait and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        ready, _, _ = select.select([descriptor], [], [], FIRST_BYTE_SECONDS)
        if not ready:
            print("ml-intern: stdin is open but nothing came; going on without it", file=sys.stderr)
            return ""
    given = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(given) > MAX_BYTES:
        raise UsageError(f"more than {MAX_BYTES // 2**20} MB came on stdin", "save it to a file and name the file")
    text = _clean(given.decode("utf-8", errors="replace").removeprefix("\ufeff"))
    if text.count("\ufffd") > len(text) / 4:
        raise UsageError("what came on stdin is no text in UTF-8", "save it to a file and name the file")
    return text


def _clean(text: str) -> str:
    """Without what no provider accepts: NUL and the lone surrogates of undecodable arguments."""
    return text.replace("\0", "\ufffd").encode("utf-8", errors="replace").decode("utf-8")
