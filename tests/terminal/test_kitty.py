"""Keys of the kitty keyboard protocol: asked for, turned on where the terminal has it, and read as other keys are."""

from pathlib import Path

import pytest
import yaml

from ml_intern.terminal.input.kitty import OFF, ON, KittyReader, as_others_send
from tests.terminal.conftest import bash
from tests.terminal.driver import Kitty
from tests.terminal.keyboard import keyboard

SHIFT_ENTER, ESC, CTRL_C, CTRL_S = "\x1b[13;2u", "\x1b[27u", "\x1b[99;5u", "\x1b[115;5u"
SHIFT_TAB = "\x1b[9;2u"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("\x1b[99;5u", "\x03"),
        ("\x1b[99;133u", "\x03"),
        ("\x1b[1089::99;5u", "\x03"),
        ("\x1b[13;2u", "\x1b\r"),
        ("\x1b[13;5u", "\x1b\r"),
        ("\x1b[13u\x1b[9u\x1b[127u\x1b[27u", "\r\t\x7f\x1b"),
        ("\x1b[9;2u", "\x1b[Z"),
        ("\x1b[127;3u", "\x17"),
        ("\x1b[98;3u", "\x1b[1;5D"),
        ("\x1b[120;3u", ""),
        ("\x1b[57441;2u", ""),
        ("\x1b[1;129A\x1b[1;130B\x1b[3;129~", "\x1b[A\x1b[1;2B\x1b[3~"),
        ("text \x1b[A \x1b[1;5C", "text \x1b[A \x1b[1;5C"),
    ],
)
def test_keys_are_those_of_other_terminals(sent: str, read: str) -> None:
    assert as_others_send(sent) == read


def test_a_sequence_in_two_parts_is_one_key() -> None:
    parts = iter(["a\x1b[9", "9;5u", "\x1b", "b"])
    reader = KittyReader(lambda _: next(parts), 100)
    assert [reader(), reader(), reader(), reader()] == ["a", "\x03", "\x1b", "b"]


async def test_the_protocol_is_on_while_the_session_has_the_terminal() -> None:
    async with keyboard() as typed:
        assert ON not in typed.written
        await typed.type("\x1b[?0u", "a\x1b[13;2ub")
        await typed.shows("> a b")
        assert typed.written.count(ON) == 1
        async with typed.console.suspended():
            assert typed.written.endswith(OFF)
        assert typed.written.count(ON) == 2
    assert typed.written.count(OFF) == 2


@pytest.mark.parametrize("keys", ["\x1bb", "\x1b[1;3D", "\x1b[98;3u"])
async def test_alt_moves_by_a_word_and_is_not_esc(keys: str) -> None:
    async with keyboard() as typed:
        await typed.type("\x1b[?0u", f"one two{keys}, ")
        await typed.shows("> one , two")


def test_a_session_understands_the_keys_of_the_protocol(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(yaml.safe_dump([bash("sleep 100"), {"text": "No more."}]))
    argv = ["--no-sandbox", "-m", f"scripted:{script}"]
    terminal = Kitty(argv, tmp_path, tmp_path / "home")
    try:
        terminal.prompt()
        for mode in ("accept-edits", "auto"):
            terminal.type(SHIFT_TAB)
            terminal.shows(mode)
        terminal.type(f"one{SHIFT_ENTER}two")
        terminal.shows("  two")
        terminal.type("\r")
        terminal.expect("running")
        terminal.type(f"three{CTRL_S}")
        terminal.shows("before the next model call: three")
        terminal.type(ESC)
        terminal.shows("queue paused")
        terminal.type(f"{CTRL_C}{CTRL_C}")
        assert terminal.ended() == 0
    finally:
        terminal.close()
