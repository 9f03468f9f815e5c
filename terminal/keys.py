"""Terminal modes. Keys typed between prompts are not echoed, and never become the answer to a later question."""

import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

_COOKED_INPUT = termios.ICRNL
_COOKED_LOCAL = termios.ECHO | termios.ICANON


def quiet_keys() -> AbstractContextManager[None]:
    """Turn off the echo of keys within this block. Typed keys stay in the input queue; Ctrl-C still interrupts."""
    return _mode(lambda flags, local: (flags & ~_COOKED_INPUT, local & ~_COOKED_LOCAL))


def shown_keys() -> AbstractContextManager[None]:
    """Restore the echo of keys for another program, in a block within one of quiet_keys."""
    return _mode(lambda flags, local: (flags | _COOKED_INPUT, local | _COOKED_LOCAL))


def ctrl_c_is_a_key() -> AbstractContextManager[None]:
    """Deliver Ctrl-C to the next prompt within this block, not as a signal."""
    return _mode(lambda flags, local: (flags, local & ~termios.ISIG))


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
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, before)


def forget_keys() -> None:
    """Discard keys typed so far, from the terminal's queue and from prompt_toolkit's."""
    from prompt_toolkit.application import get_app_session
    from prompt_toolkit.input.typeahead import clear_typeahead

    clear_typeahead(get_app_session().input)
    with suppress(termios.error, ValueError, OSError):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
