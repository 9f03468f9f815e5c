"""Program output becomes readable text, however it is split into chunks."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.execution.process.cleaning import MAX_CHUNK, StreamCleaner, clean


def streamed(data: bytes, size: int) -> str:
    cleaner = StreamCleaner()
    return "".join(cleaner.feed(data[at : at + size]) for at in range(0, len(data), size)) + cleaner.finish()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain\n", "plain\n"),
        (b"no newline", "no newline"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b" 10%\r 20%\r100%\n", "100%\n"),
        (b" 10%\r 20%\r", " 20%"),
        (b"\r\r\r\n", "\n"),
        (b"\x1b[1;31mred\x1b[0m\x1b[K\n", "red\n"),
        (b"\x1b]0;title\x07text\n", "text\n"),
        (b"\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
        (b"\x1b]0;an open sequence hides nothing\n", "0;an open sequence hides nothing\n"),
        (b"\x1bPq#0\x1b\\after\x1b7\x1b8\n", "after\n"),
        (b"o\x08ov\x08ve\x08er\n", "over\n"),
        (b"\x08\x08back\n", "back\n"),
        (b"nul\x00bell\x07\n", "nul\\x00bell\\x07\n"),
        (b"\xff\xfe \xe2\x82\n", "\ufffd\ufffd \ufffd\n"),
        ("übergröße ✓ 日本\n".encode(), "übergröße ✓ 日本\n"),
        ("left\u202etfel\n".encode(), "left\\u202etfel\n"),
        (b"tab\there\n", "tab\there\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1 << 16])
def test_output_looks_as_a_terminal_shows_it_in_the_end(raw: bytes, shown: str, size: int) -> None:
    assert streamed(raw, size) == shown


@given(st.text(alphabet="ab\r\n\x1b[m1;]\x07\x08é\x00"), st.integers(1, 9))
def test_chunks_give_the_same_text_as_the_whole(text: str, size: int) -> None:
    assert streamed(text.encode(), size) == clean(text)


@given(st.binary())
def test_any_bytes_become_text_without_controls(data: bytes) -> None:
    text = streamed(data, 7)
    assert [char for char in text if ord(char) < 32 and char not in "\n\t"] == []
    text.encode()


def test_an_endless_line_is_returned_in_chunks() -> None:
    cleaner = StreamCleaner()
    got = sum(len(cleaner.feed(b"x" * 65_536)) for _ in range(160))
    assert got > 8_000_000
    assert got + len(cleaner.finish()) == 65_536 * 160


def test_a_progress_bar_of_any_length_uses_no_memory() -> None:
    cleaner = StreamCleaner()
    for number in range(100_000):
        assert cleaner.feed(b"\rstep %d%%" % number) == ""
    assert cleaner.unfinished == "step"
    assert cleaner.finish() == "step 99999%"


def test_an_unfinished_line_is_shown_without_words_that_may_be_cut() -> None:
    cleaner = StreamCleaner()
    cleaner.feed(b"done\nfirst second thi")
    assert cleaner.unfinished == "first second"
    cleaner.feed(b"rd " * 1_000 + b"par")
    assert set(cleaner.unfinished.split()) == {"rd"}
    assert len(cleaner.unfinished) > 1_900


def test_a_long_line_is_cut_between_words() -> None:
    cleaner = StreamCleaner()
    pieces = [cleaner.feed(b"0123456789abcde " * 4_096) for _ in range(64)]
    assert {piece[-1:] for piece in pieces} <= {"", " "}
    assert "".join(pieces) + cleaner.finish() == "0123456789abcde " * 4_096 * 64


def test_a_word_at_the_cut_of_a_long_line_stays_whole() -> None:
    token = "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"
    cleaner = StreamCleaner()
    first = cleaner.feed(f"{'x' * (MAX_CHUNK - len(token))} {token[:20]}".encode() + b"a" * 20)
    assert first == "x" * (MAX_CHUNK - len(token)) + " "
    assert cleaner.finish() == token[:20] + "a" * 20


@pytest.mark.parametrize("piece", [b"\x1b", b"\x1b]", b"\x1b[", b"\x08", b"a\x08", b"\r", b"\x00", b"\xff", b"\x1bP1"])
def test_hostile_output_is_cleaned_in_linear_time(piece: bytes) -> None:
    """A quadratic pattern would take hours here."""
    streamed(piece * 2_000_000, 1 << 16)


def test_random_bytes_are_cleaned() -> None:
    assert streamed(os.urandom(1_000_000), 1 << 16)
