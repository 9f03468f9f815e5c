"""Images among the rows: shown on terminals that can, over rows of their own; elsewhere only named."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.terminal.conftest import bash
from tests.terminal.driver import CTRL_D, HAS_GRAPHICS, HAS_KEYS, Kitty, Terminal
from tests.terminal.events import event
from tests.terminal.keyboard import Keyboard, keyboard

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 300, 100) + b"\x08\x02\x00\x00\x00" + b"x" * 9_000
IMAGE = re.compile(r"\x1b_G[^\x1b]*\x1b\\|\x1b\]1337;[^\x07]*\x07")


@pytest.fixture
def plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TMUX", "STY", "TERM_PROGRAM", "LC_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    (tmp_path / "plot.png").write_bytes(PNG)
    return tmp_path / "plot.png"


async def rows_of_a_call(typed: Keyboard, plot: Path) -> list[str]:
    """The rows from the name of the image to the next line, once both are shown."""
    output = event("tool_output", id="c", name="bash", text="saved", images=[str(plot)])
    for one in (event("ready", cwd=str(plot.parent)), output):
        typed.transcript.show(one)
    typed.transcript.line("next")
    await typed.shows("next")
    rows = [row.strip() for row in typed.everything()]
    return rows[rows.index("image: plot.png") : rows.index("next")]


async def test_kitty_shows_an_image_over_rows_of_its_own(plot: Path) -> None:
    async with keyboard() as typed:
        await typed.type(HAS_KEYS, HAS_GRAPHICS, "a")
        await typed.shows("> a")
        assert await rows_of_a_call(typed, plot) == ["image: plot.png", *[""] * 5]
        first, *_, last = IMAGE.findall(typed.written.partition("image: plot.png")[2])
        assert "a=T,f=100,q=2,C=1,r=5,m=1;" in first
        assert last.startswith("\x1b_Gm=0;")
        typed.console.repaint()
        assert "\x1b_Ga=d" in typed.written
        assert typed.written.count("a=T") == 1


async def test_iterm2_shows_an_image_over_rows_of_its_own(plot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM_PROGRAM", "iTerm.app")
    async with keyboard() as typed:
        assert await rows_of_a_call(typed, plot) == ["image: plot.png", *[""] * 5]
        assert "1337;File=inline=1;width=78;height=5;preserveAspectRatio=1:" in IMAGE.findall(typed.written)[0]


@pytest.mark.parametrize("environment", [{}, {"TMUX": "/tmp/t,1,0", "TERM_PROGRAM": "iTerm.app"}])
async def test_elsewhere_an_image_is_named(
    plot: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with keyboard() as typed:
        if environment:
            await typed.type(HAS_KEYS)
        assert await rows_of_a_call(typed, plot) == ["image: plot.png"]
        assert not IMAGE.search(typed.written)


async def test_no_image_is_sent_if_the_setting_is_off(plot: Path) -> None:
    async with keyboard() as typed:
        await typed.type(HAS_KEYS, HAS_GRAPHICS)
        typed.console.images.enabled = False
        assert await rows_of_a_call(typed, plot) == ["image: plot.png"]


@pytest.mark.parametrize("kind", [Kitty, Terminal])
def test_a_session_shows_the_images_of_calls_and_of_messages_also_when_it_is_resumed(
    tmp_path: Path, plot: Path, kind: Callable[..., Terminal]
) -> None:
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([bash("cp plot.png new.png"), {"text": "A curve."}]))
    argv = ["--yolo", "--no-sandbox", "-m", f"scripted:{tmp_path / 'script.yaml'}"]
    terminal = kind(argv, tmp_path, tmp_path / "home", TERM="xterm-256color")
    try:
        terminal.prompt()
        terminal.enter("look at @plot.png")
        terminal.expect("added the image plot.png")
        terminal.expect("image: new.png")
        terminal.expect("A curve.")
        terminal.prompt()
        terminal.type(CTRL_D)
        assert terminal.ended() == 0
        assert terminal.written.count(b"a=T,f=100") == (2 if kind is Kitty else 0)
    finally:
        terminal.close()
    resumed = kind([*argv, "-c"], tmp_path, tmp_path / "home", TERM="xterm-256color")
    try:
        resumed.expect("image: new.png")
        resumed.expect("A curve.")
        resumed.prompt()
        resumed.type(CTRL_D)
        assert resumed.ended() == 0
        assert resumed.written.count(b"a=T,f=100") == (2 if kind is Kitty else 0)
    finally:
        resumed.close()
