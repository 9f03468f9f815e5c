"""A long text keeps whole lines of both ends, and says exactly how much is missing and where it is."""

import re
from pathlib import Path

from ml_intern.execution.output import HEAD_CHARACTERS, TAIL_CHARACTERS, shorten, shorten_file
from ml_intern.graph.limits import RESULT_CHARACTERS

LEFT_OUT = re.compile(r"\n\[\.\.\. ([\d,]+) characters left out; (.*) \.\.\.\]\n")


def parts(shown: str) -> tuple[str, int, str, str]:
    """Return the head, the number of missing characters, where they are, and the tail."""
    head, missing, where, tail = LEFT_OUT.split(shown)
    return head, int(missing.replace(",", "")), where, tail


def test_the_ends_are_whole_lines_and_the_rest_is_counted(tmp_path: Path) -> None:
    whole = "".join(f"line number {number}\n" for number in range(3_000))
    path = tmp_path / "full.txt"
    path.write_text(whole)
    for shown, is_shorter in (shorten(whole, tmp_path / "saved.txt"), shorten_file(path, len(whole))):
        head, missing, where, tail = parts(shown)
        assert is_shorter
        assert whole.startswith(f"{head}\n")
        assert whole.endswith(f"\n{tail}")
        assert len(head) + missing + len(tail) == len(whole)
        assert where.startswith("full text: ")
    assert (tmp_path / "saved.txt").read_text() == whole


def test_a_line_without_an_end_is_cut_and_a_far_line_end_is_not_used(tmp_path: Path) -> None:
    for whole in ("x" * 40_000, "a\n" + "x" * 40_000 + "\nb"):
        shown, is_saved = shorten(whole, tmp_path / "saved.txt")
        head, missing, _, tail = parts(shown)
        assert is_saved
        assert (len(head), len(tail)) == (HEAD_CHARACTERS, TAIL_CHARACTERS)
        assert len(head) + missing + len(tail) == len(whole)


def test_a_text_at_the_limit_is_shown_whole_and_not_saved(tmp_path: Path) -> None:
    assert shorten("x" * RESULT_CHARACTERS, tmp_path / "saved.txt") == ("x" * RESULT_CHARACTERS, False)
    assert not (tmp_path / "saved.txt").exists()


def test_a_text_that_cannot_be_saved_is_shown_and_not_reported_as_saved(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown, is_saved = shorten("x" * 40_000, tmp_path / "file" / "saved.txt")
    assert not is_saved
    assert "they could not be saved" in parts(shown)[2]
