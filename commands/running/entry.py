"""The hidden command a prompt belongs to: headless with a prompt or without a terminal, else interactive."""

import ctypes
import os
import select
import stat
import sys

from ml_intern.commands.options import Options, is_interactive, takes_options
from ml_intern.configs.errors import KeyMissing, UsageError
from ml_intern.graph.operations import UserInput

_ARENAS = -8
"""M_ARENA_MAX of malloc.h in glibc."""


def share_heap() -> None:
    """Let all threads share one heap, before there are threads: each with its own keeps what it freed to itself.

    About 10 MB of a long run. Python's own lock lets one thread allocate at a time anyway.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_ARENAS, 1)


@takes_options()
def run(options: Options) -> int:
    """An autonomous ML engineer for the terminal.

    Without PROMPT, on a terminal: interactive. With PROMPT or piped stdin: headless, one turn; the answer
    goes to stdout, all else to stderr.
    """
    import asyncio

    from ml_intern.commands.running.entry import share_heap

    share_heap()
    if is_interactive(options):
        return run_with_person(options)
    if options.resume == "":
        raise UsageError("-r without a thread needs a terminal to pick one", "`ml-intern threads list` shows them")
    from ml_intern.commands.running.entry import read_prompt
    from ml_intern.commands.running.headless import run_headless

    prompt = read_prompt(options.prompt)
    if prompt is None and not (options.continue_ or options.resume):
        raise UsageError("there is no prompt", 'give one: ml-intern "PROMPT", or pipe it in')
    return asyncio.run(run_headless(options, prompt))


def run_with_person(options: Options) -> int:
    """The interactive session; without a key for its model a set-up comes first, and once the question for the Hub."""
    import asyncio

    from ml_intern.terminal.keys import quiet_keys, shown_keys

    while True:
        try:
            with quiet_keys():  # from the beginning: what is typed while the packages load is for the prompt
                from ml_intern.commands.running.interactive import run_interactive
                from ml_intern.commands.setup.set_up import offer_hub_login, set_up

                with shown_keys():
                    offer_hub_login(options)
                return asyncio.run(run_interactive(options))
        except KeyMissing as missing:
            found = set_up(options, missing)
            if isinstance(found, int):
                return found
            options = found


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
