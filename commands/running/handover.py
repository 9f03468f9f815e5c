"""Esc during a headless run on a terminal: continue the thread in an interactive session."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ml_intern.commands.options import Options
from ml_intern.terminal.keys import quiet_keys

ESCAPE = "\x1b"
OFFER = "Esc: take over"
QUESTION = "i: continue interactively  other keys: let it run"


class Handover(Exception):
    """The user wants to continue this thread in an interactive session."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(thread_id)
        self.thread_id = thread_id


def can_hand_over(options: Options, *, saved: bool) -> bool:
    """Return whether a person could take over: all streams are the terminal, and this process reads its keys."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if options.output_format != "text" or options.output_schema or options.quiet or not saved:
        return False
    if not all(stream is not None and stream.isatty() for stream in streams):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def handover_offered(show: Callable[[str], None], accept: Callable[[], None]) -> Iterator[None]:
    """Read keys within this block: Esc asks, `i` accepts. `show` sets the hint about the keys."""
    descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    is_asked = False

    def take() -> None:
        nonlocal is_asked
        typed = os.read(descriptor, 1024).decode("utf-8", "replace")
        if typed in (ESCAPE + "i", ESCAPE + "I") or (is_asked and typed in ("i", "I")):
            accept()
        is_asked = typed == ESCAPE and not is_asked
        show(QUESTION if is_asked else OFFER)

    with quiet_keys():
        loop.add_reader(descriptor, take)
        show(OFFER)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)
