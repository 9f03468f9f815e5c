"""Streamed markdown: blocks are whole, nothing is lost, whatever the pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.terminal.render.markdown_stream import MarkdownStream

TEXT = "# Title\n\nSome *text*\nmore\n\n\n```python\na = 1\n\n\nb = 2\n```\n\n- one\n- two\n\nend"


def test_a_block_ends_at_an_empty_line_outside_of_code() -> None:
    stream = MarkdownStream()
    blocks = [block.strip() for block in stream.feed(TEXT)]
    assert blocks == ["# Title", "Some *text*\nmore", "```python\na = 1\n\n\nb = 2\n```", "- one\n- two"]
    assert stream.flush() == "end"
    assert stream.flush() == ""


@given(st.text(alphabet="ab \n`~#", max_size=80), st.integers(1, 7))
def test_any_pieces_give_the_same_blocks_and_lose_no_line(text: str, size: int) -> None:
    whole, pieces = MarkdownStream(), MarkdownStream()
    expected = [*whole.feed(text), whole.flush()]
    blocks = [block for start in range(0, len(text), size) for block in pieces.feed(text[start : start + size])]
    assert [*blocks, pieces.flush()] == expected
    shown = [line for line in "".join(expected).split("\n") if line.strip()]
    assert shown == [line for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize(("lines", "rest"), [(1, "```\nb\nc"), (9, "```\na\nb\nc")])
def test_the_rest_is_the_end_of_the_open_block(lines: int, rest: str) -> None:
    stream = MarkdownStream()
    stream.feed("```\na\nb\nc")
    assert stream.rest(lines) == rest
