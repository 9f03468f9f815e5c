"""The input line in this process: pasted texts and images, and the keys that fold and show."""

import asyncio
from pathlib import Path

import pytest
from prompt_toolkit.buffer import CompletionState

from ml_intern.terminal.input import editor, paste_reader
from ml_intern.terminal.input.paste import MAX_PATH, Pastes, image_mention
from tests.terminal.events import event
from tests.terminal.keyboard import NoActions, keyboard

PASTE = "\x1b[200~{}\x1b[201~"
UP, DOWN = "\x1b[A", "\x1b[B"


async def test_tab_expands_the_token_of_a_paste_at_the_cursor() -> None:
    async with keyboard() as typed:
        await typed.type("see ", PASTE.format("\n".join(f"row {number}" for number in range(8))))
        await typed.shows("> see [pasted #1: 8 lines]")
        await typed.type("\t", "!")
        shown = await typed.shows("row 7!")
        assert "pasted" not in shown
        assert typed.console.editor.buffer.text.startswith("see row 0\nrow 1")


async def test_the_path_of_a_dropped_image_becomes_a_mention(tmp_path: Path) -> None:
    image = tmp_path / "my plot.png"
    image.write_bytes(b"")
    async with keyboard(200) as typed:
        await typed.type(PASTE.format(str(image).replace(" ", "\\ ")))
        await typed.until(lambda: typed.console.editor.buffer.text == f'@"{image}" ')


@pytest.mark.parametrize("text", ["", "plot.png", "/nowhere/plot.png", "two words.png", "'open", "/bin/sh"])
def test_other_pastes_are_text(text: str) -> None:
    assert image_mention(text) is None


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a b.png").touch()
    assert image_mention(f"file://{tmp_path}/a%20b.png") == f'@"{tmp_path}/a b.png" '


async def test_the_plan_folds_and_reasoning_is_shown_on_demand() -> None:
    steps = [{"text": "read the data", "status": "done"}, {"text": "train", "status": "in_progress"}]
    async with keyboard() as typed:
        screen = typed.transcript
        screen.show(event("processing", turn=1, text="go", id="u"))
        screen.show(event("plan_update", steps=steps))
        screen.show(event("assistant_chunk", message_id="m", kind="reasoning", text="the loss is odd"))
        assert "the loss is odd" not in await typed.shows("read the data")
        assert screen.toggle_plan()
        assert screen.toggle_reasoning()
        shown = await typed.shows("the loss is odd")
        assert "read the data" not in shown
        assert "1/2" in shown
        screen.show(event("assistant_chunk", message_id="m", kind="text", text="Done."))
        assert not screen.toggle_plan()
        assert "the loss is odd" not in await typed.shows("read the data")


class Rewinding(NoActions):
    """Counts how often Esc Esc was pressed."""

    count = 0

    def rewind(self) -> None:
        self.count += 1


async def test_esc_esc_rewinds_however_late_the_second_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editor, "TWICE_S", 0.0)
    async with keyboard() as typed:
        actions = typed.console.editor._actions = Rewinding()
        await typed.type("\x1b\x1b")
        await typed.until(lambda: actions.count == 1)
        await typed.type("ab", "\x1b\x1b[D", "c")
        await typed.shows("> acb")
        assert actions.count == 1


async def test_a_search_for_completions_that_found_nothing_takes_no_esc() -> None:
    async with keyboard() as typed:
        actions = typed.console.editor._actions = Rewinding()
        buffer = typed.console.editor.buffer
        buffer.complete_state = CompletionState(buffer.document)
        await typed.type("\x1b\x1b")
        await typed.until(lambda: actions.count == 1)


async def test_a_second_ctrl_c_quits_only_while_the_warning_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    async with keyboard() as typed:
        left = list[bool]()
        monkeypatch.setattr(typed.actions, "leave", lambda: left.append(True))
        await typed.type("\x03")
        await typed.shows("Ctrl-C again")
        monkeypatch.setattr(editor, "ARMED_S", 0.0)
        await typed.type("\x03", "x")
        await typed.shows("> x")
        assert not left
        monkeypatch.undo()
        monkeypatch.setattr(typed.actions, "leave", lambda: left.append(True))
        await typed.type("\x03", "\x03")
        await typed.until(lambda: bool(left))


async def test_up_recalls_messages_that_begin_with_the_typed_text_and_down_returns_to_it() -> None:
    async with keyboard() as typed:
        typed.console.history.open(None)
        for message in ("train with lr 0.1", "show the log", "train with lr 0.2", "train"):
            await typed.type(message, "\r")
        await typed.type("train", UP)
        await typed.shows("> train with lr 0.2")
        await typed.type(UP)
        await typed.shows("> train with lr 0.1")
        await typed.type(UP)
        await typed.shows("no earlier message begins with this")
        await typed.type(DOWN, DOWN, DOWN, "!")
        await typed.shows("> train!")


async def test_a_recalled_message_has_its_own_pasted_text_and_not_that_of_a_later_paste(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pasted = "\n".join(f"row {number}" for number in range(40))
    async with keyboard() as typed:
        typed.console.history.open(None)
        sent = list[str]()
        monkeypatch.setattr(typed.actions, "submit", sent.append)
        await typed.type("see ", PASTE.format(pasted), "\r")
        await typed.until(lambda: sent == [f"see {pasted}"])
        typed.console.editor.pastes = Pastes()
        await typed.type(PASTE.format(pasted.upper()), "\x15", UP)
        await typed.shows("[pasted #2: 40 lines]")
        await typed.type("\r")
        await typed.until(lambda: sent[1:] == [f"see {pasted}"])


HOSTILE = "a\x1b[2Jb\x1b]52;c;aGFja2Vk\x07c\x1b[201~echo injected\r\x1b[200~d\x1a\x03\x04\x1b[201~rm -rf /\re"
"""A text to paste that erases the screen, sets the clipboard, and ends the paste to have its lines typed."""


@pytest.mark.parametrize("size", [1, 5, 7, 50, 4096])
async def test_no_part_of_a_paste_is_typed_however_it_arrives(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paste_reader, "PAUSE_S", 1.0)
    sent = list[str]()
    monkeypatch.setattr(NoActions, "submit", lambda _, text: sent.append(text))
    keys = PASTE.format(HOSTILE).removeprefix("\x1b[200~") + " typed"
    async with keyboard() as typed:
        await typed.type("look: ")
        typed.send("\x1b[200~")
        for start in range(0, len(keys), size):
            typed.send(keys[start : start + size])
            await asyncio.sleep(0)
        await typed.shows("e typed")
        assert sent == []
        assert typed.console.editor.buffer.text == ("look: a[2Jb]52;c;aGFja2Vkcecho injected\ndrm -rf /\ne typed")


@pytest.mark.parametrize("quote", ["", "'"])
def test_a_long_text_is_no_path_of_an_image(quote: str) -> None:
    assert image_mention(f"{quote}/{'x' * MAX_PATH}.png{quote}") is None
