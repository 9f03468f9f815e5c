"""Text that was typed and not sent: it survives the end of the process, and comes back once, in its own folder."""

from collections.abc import Callable
from pathlib import Path

from ml_intern.terminal.input.draft import UnsentText
from tests.terminal.driver import CTRL_C, CTRL_D, Terminal


def test_a_killed_session_leaves_its_draft_to_the_next_one(start: Callable[..., Terminal], tmp_path: Path) -> None:
    drafts = tmp_path / "home" / "drafts"
    first = start({"text": "Hello."}, {"text": "Again."})
    first.prompt()
    first.enter("hello")
    first.expect("Hello.")
    first.prompt()
    first.type("half a thou")
    while not any("half a thou" in file.read_text() for file in drafts.glob("*")):
        first.shows("> half a thou")
    beside = start()
    beside.prompt()
    beside.type("another\r")
    assert "half a thou" not in beside.expect("> another")
    beside.prompt()
    beside.type(CTRL_D)
    assert beside.ended() == 0
    first.process.kill()
    first.process.wait()
    again = start(options=("-c",))
    again.shows("> half a thou")
    again.prompt()
    again.type(CTRL_C)
    again.type(CTRL_D)
    assert again.ended() == 0
    assert list(drafts.glob("*")) == []


async def test_a_draft_is_for_its_own_folder_and_has_no_secret(tmp_path: Path) -> None:
    secret = "hf_" + "aBcDeFgH" * 4
    one = UnsentText(lambda: f"use {secret}")
    assert one.open(tmp_path / "drafts", tmp_path / "a") == []
    one.changed()
    one.close()
    (file,) = (tmp_path / "drafts").iterdir()
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert UnsentText(str).open(tmp_path / "drafts", tmp_path / "b") == []
    assert file.exists()


async def test_a_folder_that_cannot_be_written_does_not_end_the_session(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    draft = UnsentText(lambda: "text")
    assert draft.open(tmp_path / "file" / "drafts", tmp_path) == []
    draft.changed()
    draft.close()
