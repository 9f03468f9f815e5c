import pytest

from ml_intern.text.formatting import and_more, capped, listed, plural


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
