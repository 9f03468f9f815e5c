"""Streamed Markdown: every row is final once, whatever the chunks, the width and the room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.terminal.blocks.width import cells
from ml_intern.terminal.display.rows import plain, skip, wrap
from ml_intern.terminal.render.markdown import markdown_rows
from ml_intern.terminal.render.stream import Piece, ReplyStream, reply_rows
from ml_intern.terminal.state import Transcript
from ml_intern.terminal.theme import Theme
from tests.terminal.events import event

TEXT = "# Title\n\nSome *text*\nmore\n\n\n```python\na = 1\n\n\nb = 2\n```\n\n- one\n- two\n\nend"


def render(piece: Piece, width: int) -> list[str]:
    return markdown_rows(piece, width, Theme("none"))


def test_a_reply_as_rows() -> None:
    assert reply_rows(TEXT, 40, render) == [
        "Title", "", "Some text more", "", "a = 1", "", "", "b = 2", "", "• one", "• two", "", "end",
    ]  # fmt: skip


def streamed(text: str, size: int, width: int, room: int) -> tuple[list[str], int]:
    stream, rows, highest = ReplyStream(render), list[str](), 0
    for start in range(0, len(text), size):
        stream.feed(text[start : start + size])
        rows += stream.take(width, room)
        highest = max(highest, len(stream.open(width)))
    stream.end()
    return rows + stream.take(width, room), highest


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_the_chunks_change_nothing(size: int) -> None:
    assert streamed(TEXT, size, 40, 100)[0] == reply_rows(TEXT, 40, render)


@given(st.text(alphabet="ab \n`~#-", max_size=80), st.integers(1, 7), st.integers(10, 40))
def test_any_chunks_lose_nothing(text: str, size: int, width: int) -> None:
    rows, _ = streamed(text, size, width, 4)
    assert "".join("".join(rows).split()) == "".join("".join(reply_rows(text, width, render)).split())


@pytest.mark.parametrize("text", [
    " ".join(f"word{number}" for number in range(400)),
    "\n".join(f"- item {number} of a list" for number in range(60)),
    "```\n" + "\n".join(f"line {number}" for number in range(80)) + "\n```",
])  # fmt: skip
def test_a_block_longer_than_the_room_is_final_early_except_its_last_rows(text: str) -> None:
    rows, highest = streamed(text, 40, 30, 8)
    assert rows == reply_rows(text, 30, render)
    assert highest <= 12


def test_a_table_and_a_numbered_list_are_final_at_their_end_only() -> None:
    for text in ("| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 40, "\n".join(f"{n}. step" for n in range(1, 40))):
        stream = ReplyStream(render)
        stream.feed(text)
        assert stream.take(40, 8) == []
        stream.end()
        assert stream.take(40, 8) == reply_rows(text, 40, render)


def test_a_new_width_goes_on_where_the_rows_ended() -> None:
    words = [f"word{number}" for number in range(200)]
    stream, rows = ReplyStream(render), list[str]()
    for place, width in enumerate((60, 25, 40, 33)):
        stream.feed(" ".join(words[place * 50 : place * 50 + 50]) + " ")
        rows += stream.take(width, 5)
    stream.end()
    rows += stream.take(33, 5)
    assert " ".join(rows).split() == words


@pytest.mark.parametrize("mark", ["- ", "> "])
def test_a_new_width_keeps_the_words_and_the_indent_of_a_list_and_of_a_quote(mark: str) -> None:
    words = [f"word{number}" for number in range(60)]
    stream = ReplyStream(render)
    stream.feed(mark + " ".join(words))
    rows = stream.take(30, 5)
    stream.end()
    later = stream.take(50, 5)
    assert [word for word in " ".join(rows + later).split() if word.startswith("word")] == words
    assert {row[:2] for row in later[1:]} == {later[0][:2] if rows else "│ "}


@pytest.mark.parametrize("room", [5, 8, 12, 30])
def test_no_row_of_a_reply_is_hidden_between_the_scrollback_and_the_live_part(room: int) -> None:
    screen, words, rows = Transcript(), [f"word{number}" for number in range(200)], list[str]()
    steps = [{"text": name, "status": "pending"} for name in ("read", "train", "report")]
    for one in (event("processing", turn=1, text="go", id="u"), event("plan_update", steps=steps)):
        screen.show(one)
    for place, word in enumerate(words):
        screen.show(event("assistant_chunk", kind="text", text=f"{word} "))
        rows += screen.finished(40, room)
        live = " ".join([*rows, *screen.live(39, room)]).split()
        assert [one for one in live if one.startswith("word")] == words[: place + 1]


def test_a_code_line_is_whole_however_long() -> None:
    line = "x = " + "a + " * 60 + "1"
    assert line in reply_rows(f"```python\n{line}\n```", 40, render)


def test_control_sequences_of_a_reply_are_shown_and_not_obeyed() -> None:
    text = "".join(reply_rows("a\x1b[2Jb\n\n```\nc\x1b]0;x\x07\n```", 40, render))
    assert "\x1b" not in text
    assert "\\x1b[2J" in text


def test_rows_are_wrapped_at_spaces_with_their_colours() -> None:
    rows = wrap("\x1b[31mone two three\x1b[m four", 8)
    assert [plain(row) for row in rows] == ["one two", "three", "four"]
    assert all(cells(row) <= 8 for row in rows)
    assert rows[1] == "\x1b[31mthree\x1b[m"
    assert wrap("日本語日本語", 5) == ["日本", "語日", "本語"]
    assert skip(["ab c", "de"], 3) == ["de"]
