import re
from pathlib import Path

import pytest

from ml_intern.text.formatting import and_more, capped, listed, money, plural, spent


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "turn", "0 turns"),
        (1, "turn", "1 turn"),
        (2, "process", "2 processes"),
        (1, "retry", "1 retry"),
        (3, "retry", "3 retries"),
        (2, "key", "2 keys"),
        (2, "match", "2 matches"),
        (1234, "file", "1,234 files"),
    ],
)
def test_a_count_has_the_noun_in_the_right_number(number: int, noun: str, text: str) -> None:
    assert plural(number, noun) == text


def test_a_long_list_says_how_many_names_are_left_out() -> None:
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed(["a", "b", "c"], 1, "; ", "class") == "a and 2 more classes"
    assert and_more(3, 3) == ""
    assert and_more(4, 3, "file") == "and 1 more file"
    assert and_more(2003, 3, "file") == "and 2,000 more files"


def test_a_long_block_ends_with_the_number_of_its_other_lines() -> None:
    assert capped(["a", "b", "c"], 3) == ["a", "b", "c"]
    assert capped(["a", "b", "c"], 1, "line") == ["a", "[2 more lines]"]


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "cost unknown"),
        (0.0, "$0.00"),
        (0.00001, "$0.00001"),
        (0.0000123456, "$0.0000123"),
        (0.0123, "$0.0123"),
        (0.0999999, "$0.10"),
        (1.5, "$1.50"),
        (1234.5, "$1,234.50"),
    ],
)
def test_only_zero_is_shown_as_zero_dollars(usd: float | None, text: str) -> None:
    assert money(usd) == text


def test_what_was_spent_says_whether_a_part_is_unknown() -> None:
    assert [spent(1.5, 0), spent(1.5, 2), spent(0.0, 2), spent(0.0, 0)] == [
        "$1.50", "$1.50 + unknown", "cost unknown", "$0.00"
    ]  # fmt: skip


def test_dollars_are_formatted_in_one_place() -> None:
    """An amount with fixed decimals elsewhere would show small costs as 0.00."""
    root = Path(__file__).parents[2]
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "ml_", "tests"))]
    own_format = re.compile(r"usd[^{}]*:[,.]?\.?\d+f\}|\$\{[^{}]*:[,.]*\d*f\}|\d+f\} USD")
    files = [path for folder in folders for path in folder.rglob("*.py") if folder.name not in ("bench", "scripts")]
    found = [str(path.relative_to(root)) for path in files if own_format.search(path.read_text("utf-8"))]
    assert found == ["text/formatting.py"]
