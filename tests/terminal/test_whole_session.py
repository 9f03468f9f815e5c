"""One session of the installed program through many steps, its window at four sizes: nothing is lost or shown twice."""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.model_server import FRAGMENT, Call, FakeModelServer, Reply
from tests.terminal.driver import CTRL_C, CTRL_D, CTRL_S
from tests.terminal.window import Window

SENTENCE = "the loss falls while the learning rate is warmed up and the gradient norm stays below one"
PARTS = "\n\n".join(f"part {number:03} {SENTENCE}" for number in range(40))
WORDS = [f"word{number:04}" for number in range(400)]
REPLY = f"{PARTS}\n\n{' '.join(WORDS)}"
HOSTILE = r"printf 'a\033[2Jb\033]0;evil\007c \xe6\x95\xb0\xe6\x8d\xae \xf0\x9f\x87\xa9 end\n'; seq 1 40; exit 3"
CODE = "Use this:\n\n```python\nprint('a line of code that is longer than forty cells, and must stay whole')\n```\n"
SHIFT_TAB = "\x1b[Z"
MEGABYTE = "".join(f"line {number:012}\n" for number in range(55_000))


def call(tool: str, **arguments: Any) -> Reply:
    return Reply(calls=[Call(tool, json.dumps(arguments))])


REPLIES = [
    Reply(REPLY, hold_after=len(REPLY) // FRAGMENT - 150),
    call("bash", command=HOSTILE), Reply("It ended with 3."),
    call("write", path="notes.md", content="alpha\nbeta\n"), Reply(CODE),
    call("plan", steps=[{"text": "train the model", "status": "in_progress"}]),
    call("bash", command="until [ -e go ]; do sleep 0.1; done; echo opened"),
    Reply("Steered."), Reply("Queued answer."),
]  # fmt: skip


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as served:
        served.say(*REPLIES)
        yield served


@pytest.fixture
def window(tmp_path: Path, server: FakeModelServer) -> Iterator[Window]:
    work = tmp_path / "work"
    work.mkdir()
    argv = ["--no-sandbox", "--set", "verify=off", "-m", "openai/fake", "--base-url", server.url]
    opened = Window(argv, work, tmp_path / "home", TERM="xterm-256color", OPENAI_API_KEY="k")
    yield opened
    opened.close()


def stream_while_the_window_changes(window: Window, server: FakeModelServer) -> None:
    """A reply longer than any screen, whose last paragraph is too, at 80x24 and then 40x15."""
    window.enter("describe it")
    window.expect("word0200")
    window.resize(40, 15)
    window.shows("Esc interrupts")
    server.released.set()
    window.expect(WORDS[-1])
    window.prompt()
    rows = window.everything()
    assert [row[5:8] for row in rows if row.startswith("part ")] == [f"{number:03}" for number in range(40)]
    # The terminal itself wraps a row that is written in the moment in which it becomes narrower.
    assert re.findall(r"word\d{4}", "".join(row.strip() for row in rows)) == WORDS


def approve_and_read_the_output(window: Window) -> None:
    """An approval at 40x15 and 50x15, and a failing call with hostile output."""
    window.enter("run it")
    window.shows("Yes, and do not ask again")
    window.resize(50, 15)
    window.shows("Yes, and do not ask again")
    window.type("y\r")
    window.expect("exit code 3")
    window.expect("It ended with 3.")
    window.prompt()
    assert b"\x1b[2J" not in window.written
    assert b"evil\x07" not in window.written
    assert Counter(row.split()[-1] for row in window.everything() if row.strip())["40"] == 1


def see_a_diff_and_copy_code(window: Window) -> None:
    """An edit in mode accept-edits at 100x30 shows its diff without a question; a line of code stays one line."""
    window.resize(100, 30)
    window.type(SHIFT_TAB)
    window.shows("accept-edits")
    window.enter("write notes")
    window.expect("1 + alpha")
    window.expect("must stay whole")
    window.prompt()
    window.type(SHIFT_TAB * 3)
    window.shows("  ask")
    window.enter("/copy code")
    window.expect("copied")


def steer(window: Window, work: Path) -> None:
    """At 40x15: what is typed during a turn waits, Ctrl-S sends it to the running turn, and a draft stays."""
    window.resize(40, 15)
    window.prompt()
    window.enter("train")
    window.shows("No, and say why")
    window.type("y\r")
    window.shows("train the model")
    window.enter("and plot it")
    window.shows("queued: and plot it")
    window.type(CTRL_S)
    window.enter("later")
    window.shows("queued: later")
    window.type("a draft 数据 \U0001f525")
    window.shows("> a draft 数据 \U0001f525")
    (work / "go").touch()
    window.expect("Steered.")
    window.expect("Queued answer.")
    window.prompt()
    window.shows("> a draft 数据 \U0001f525")
    window.type(CTRL_C)


def paste_and_lie(window: Window) -> None:
    """A megabyte is pasted at 80x24; then the terminal says that it has no size."""
    window.resize(80, 24)
    typing = threading.Thread(target=window.type, args=(f"\x1b[200~{MEGABYTE}\x1b[201~",))
    typing.start()
    window.shows("[pasted #1: 55000 lines]")
    typing.join()
    window.report_size(0, 0)
    window.type(f"{CTRL_C}a key")
    window.shows("> a key")
    window.type("\x15")


def leave(window: Window) -> None:
    window.prompt()
    window.type(CTRL_D)
    window.expect("continue with: ml-intern -r ")
    assert window.ended() == 0


@pytest.mark.timeout(900)
def test_one_session_at_four_sizes(window: Window, server: FakeModelServer, tmp_path: Path) -> None:
    window.expect("asked only once)")
    window.enter("n")
    window.prompt()
    stream_while_the_window_changes(window, server)
    approve_and_read_the_output(window)
    see_a_diff_and_copy_code(window)
    steer(window, tmp_path / "work")
    paste_and_lie(window)
    leave(window)
    rows = window.everything()
    for line in ("describe it", "run it", "write notes", "train", "and plot it", "later"):
        assert rows.count(f"> {line}") == 1
    assert not any(live in row for row in rows for live in ("Esc interrupts", "queued: ", "a draft"))
