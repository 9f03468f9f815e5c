"""/export, typed at a real terminal."""

from pathlib import Path

from tests.terminal.driver import CTRL_D, Terminal


def test_export_writes_the_conversation_to_a_new_file_and_replaces_none(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "mine.md").write_text("mine")
    script = tmp_path / "script.yaml"
    script.write_text("- text: The answer is here.\n")
    terminal = Terminal(["-m", f"scripted:{script}"], work, tmp_path / "home")
    try:
        terminal.prompt()
        terminal.enter("/export")
        terminal.expect("the thread is empty")
        terminal.enter("a question")
        terminal.expect("The answer is here.")
        terminal.prompt()
        terminal.enter("/export out.html")
        terminal.expect("wrote ")
        terminal.enter("/export mine.md")
        terminal.expect("cannot write")
        terminal.prompt()
        terminal.type(CTRL_D)
        assert terminal.ended() == 0
    finally:
        terminal.close()
    assert "The answer is here." in (work / "out.html").read_text()
    assert (work / "mine.md").read_text() == "mine"
