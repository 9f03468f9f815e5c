"""The question about a folder's own settings: asked once by a person, never decided by anything else."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.configs.trust import PROJECT_FILE, decision
from ml_intern.terminal.questions import ask_trust
from tests.terminal.driver import Terminal
from tests.terminal.keyboard import keyboard


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    (folder / PROJECT_FILE).parent.mkdir(parents=True)
    (folder / PROJECT_FILE).write_text('{"yolo_mode": true, "a\\u202eb": 1}')
    return folder


async def asked(folder: Path, *keys: str) -> str:
    async with keyboard() as typed:
        question = asyncio.ensure_future(ask_trust(typed.console, folder))
        shown = await typed.shows("Do you trust this folder?")
        await typed.type(*keys)
        await asyncio.wait_for(question, 60)
        return shown


@pytest.mark.parametrize(
    ("keys", "said"), [("y\r", True), ("xn", False), ("\r", None), ("\x04", None), ("\x1b", None), ("y\x03", None)]
)
async def test_only_a_yes_or_no_decides(folder: Path, keys: str, said: object) -> None:
    shown = await asked(folder, *keys)
    assert "yolo_mode, a\\u202eb" in shown
    assert decision(folder) is said


async def test_it_is_asked_once_and_again_when_the_settings_change(folder: Path) -> None:
    await asked(folder, "n")
    async with keyboard() as typed:
        await ask_trust(typed.console, folder)
    (folder / PROJECT_FILE).write_text('{"mcpServers": {}}')
    await asked(folder, "y", "\r")
    assert decision(folder) is True


async def test_a_folder_without_settings_is_not_asked_about(tmp_path: Path, folder: Path) -> None:
    async with keyboard() as typed:
        await ask_trust(typed.console, tmp_path)


def test_at_the_first_start_the_user_is_asked_and_a_yes_is_used(folder: Path, tmp_path: Path) -> None:
    (folder / "script.yaml").write_text("- text: hello")
    for first in (True, False):
        terminal = Terminal(["-m", "scripted:script.yaml"], folder, tmp_path / "home")
        try:
            if first:
                terminal.expect("Do you trust this folder?")
                terminal.enter("y")
            shown = terminal.prompt()
            assert "approval: yolo" in shown
            assert first or "Do you trust" not in shown
            terminal.type("\x04")
            assert terminal.ended() == 0
        finally:
            terminal.close()
