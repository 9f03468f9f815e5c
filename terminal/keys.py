"""Keys: the mode of the terminal before the first frame, and sequences that prompt_toolkit does not know."""

import fcntl
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from ml_intern.terminal.input.answers import APC, CSI_PRIVATE, END_OF_STRING, ESCAPE, OSC

_COOKED_INPUT = termios.ICRNL
_COOKED_LOCAL = termios.ECHO | termios.ICANON
ALT_ENTER = "\x1b\r"
FOCUS_GAINED, FOCUS_LOST = "\x1b[I", "\x1b[O"


def add_sequences() -> None:
    """Make prompt_toolkit read Alt-Enter as the key F20, and reports of the focus as F21 and F22.

    Esc is a key of its own and would end these sequences, and those of Alt with another key. Two at once are one key,
    whatever the time between reading them. The marks of the terminal's answers to queries are not keys.
    """
    from prompt_toolkit.input import vt100_parser
    from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
    from prompt_toolkit.keys import Keys

    with_alt = {Keys.Left: Keys.ControlLeft, Keys.Right: Keys.ControlRight, Keys.Delete: Keys.ControlDelete}
    ANSI_SEQUENCES |= {ALT_ENTER: Keys.F20, FOCUS_GAINED: Keys.F21, FOCUS_LOST: Keys.F22}
    for sequence, key in ANSI_SEQUENCES.items():
        if isinstance(key, tuple) and key[0] == Keys.Escape and not sequence.startswith(ESCAPE * 2):
            ANSI_SEQUENCES[sequence] = with_alt.get(key[1], key[1])
    ANSI_SEQUENCES |= {
        "\x1bb": Keys.ControlLeft, "\x1bf": Keys.ControlRight, "\x1bd": Keys.ControlDelete, "\x1b\x7f": Keys.ControlW,
    }  # fmt: skip
    for sequence, key in [*ANSI_SEQUENCES.items()]:  # an Esc right before another key: not two Esc and text
        if sequence.startswith(("\x1b[", "\x1bO")):
            keys = key if isinstance(key, tuple) else (key,)
            ANSI_SEQUENCES.setdefault(f"{ESCAPE}{sequence}", (Keys.Escape, *keys))
    ANSI_SEQUENCES[ESCAPE * 2] = Keys.ShiftEscape
    ANSI_SEQUENCES |= dict.fromkeys((OSC, CSI_PRIVATE, APC, END_OF_STRING), Keys.Ignore)
    vt100_parser._IS_PREFIX_OF_LONGER_MATCH_CACHE.clear()


def quiet_keys() -> AbstractContextManager[None]:
    """Turn off the echo of keys within this block. Typed keys stay in the input queue; Ctrl-C still interrupts."""
    return _mode(lambda flags, local: (flags & ~_COOKED_INPUT, local & ~_COOKED_LOCAL))


def typed_early() -> int:
    """Return the number of bytes that were typed and not read yet; 0 if stdin is not a terminal."""
    waiting = bytearray(4)
    with suppress(OSError, ValueError):
        if sys.stdin.isatty():
            fcntl.ioctl(sys.stdin.fileno(), termios.FIONREAD, waiting)
    return int.from_bytes(waiting, sys.byteorder)


@contextmanager
def _mode(changed: Callable[[int, int], tuple[int, int]]) -> Iterator[None]:
    """Change the input and local flags of the terminal, if stdin is one."""
    try:
        before = termios.tcgetattr(sys.stdin.fileno())
    except (termios.error, ValueError, OSError):
        yield
        return
    after = [*before]
    after[0], after[3] = changed(before[0], before[3])
    termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, after)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone, which also sends SIGHUP
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, before)
