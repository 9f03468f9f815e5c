"""Two terminals on one thread: both show it, one answers, and the end of the process that runs it is one line."""

from collections.abc import Callable

from tests.terminal.conftest import bash
from tests.terminal.driver import Terminal


def test_two_terminals_on_one_thread(start: Callable[..., Terminal]) -> None:
    holder = start({"text": "First answer."}, bash("touch made"), {"text": "Second answer."})
    holder.prompt()
    holder.enter("go")
    holder.expect("First answer.")
    other = start(options=("-c",))
    other.expect("attached to it")
    other.expect("First answer.")
    other.prompt()
    other.enter("more")
    holder.expect("Run this command")
    other.expect("Run this command")
    other.type("y\r")
    holder.expect("answered from another terminal")
    for terminal in (holder, other):
        terminal.expect("Second answer.")
        terminal.prompt()
    holder.process.kill()
    other.expect("the process that ran this thread has ended")
    assert other.ended() == 75
