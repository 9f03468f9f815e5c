"""The prompt of a headless run: the argument of the command line and piped input."""

import os
import select
import stat
import sys

from ml_intern.configs.errors import UsageError
from ml_intern.graph.operations import UserInput

FIRST_BYTE_SECONDS = 3.0
"""How long a run with a prompt waits for the first byte of a pipe that may stay empty."""
MAX_BYTES = 16 * 2**20
SAVE_TO_FILE = "save it to a file and name the file in the prompt"


def read_prompt(given: str | None) -> UserInput | None:
    """Return the prompt with piped stdin appended as a block, or None when there is neither.

    `-` means stdin alone. With both, only the text on the command line counts as typed by the user.
    """
    words = "" if given in (None, "-") else _clean(given or "")
    piped = read_stdin(wait=not words)
    if words.strip() and piped.strip():
        return UserInput(f"{words}\n\n<stdin>\n{piped.rstrip()}\n</stdin>", typed=words, sources=("a pipe",))
    if not (words or piped).strip():
        return None
    return UserInput(words or piped)


def read_stdin(*, wait: bool) -> str:
    """Read all of stdin unless it is a terminal. Without `wait`, ignore a pipe that is silent for 3 seconds.

    Raises:
        UsageError: the input is too large, or not text.
    """
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    descriptor = sys.stdin.fileno()
    if not wait and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        waiting = select.poll()  # not select(), which takes no descriptor above 1,023
        waiting.register(descriptor, select.POLLIN)
        if not waiting.poll(FIRST_BYTE_SECONDS * 1000):
            print("ml-intern: stdin is open but sent nothing; continuing without it", file=sys.stderr)
            return ""
    given = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(given) > MAX_BYTES:
        raise UsageError(f"stdin has more than {MAX_BYTES // 2**20} MB", SAVE_TO_FILE)
    text = _clean(given.decode("utf-8", errors="replace").removeprefix("\ufeff"))
    if text.count("\ufffd") > len(text) / 4:
        raise UsageError("stdin is not UTF-8 text", SAVE_TO_FILE)
    return text


def _clean(text: str) -> str:
    """Replace characters that providers reject: NUL and the lone surrogates of undecodable arguments."""
    return text.replace("\0", "\ufffd").encode("utf-8", errors="replace").decode("utf-8")
