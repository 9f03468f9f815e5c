import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.models.parsing import InvalidArguments, clean_text, parse_arguments

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES))
def test_every_object_a_checkpoint_can_hold_is_read_back(value: dict[str, object]) -> None:
    assert parse_arguments(json.dumps(value)) == value


@given(st.dictionaries(st.text(min_size=1), VALUES, min_size=1), st.data())
def test_no_proper_beginning_of_an_object_is_taken_for_a_call(value: dict[str, object], data: st.DataObject) -> None:
    raw = json.dumps(value)
    cut = raw[: data.draw(st.integers(1, len(raw) - 1))]

    with pytest.raises(InvalidArguments):
        parse_arguments(cut)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not"),
        ('{"a": 1e999}', "too large"),
        (f'{{"a": {2**70}}}', "64 bits"),
        (f'{{"a": -{2**64}}}', "64 bits"),
        ('{"a": ' + "9" * 10_000 + "}", "64 bits"),
        ("[1, 2]", "not an array"),
        ('"text"', "not a string"),
        ("true", "not a boolean"),
        ("7", "not a number"),
        ("null", "not null"),
        ('{"a": 1}{"b": 2}', "Extra data"),
        ("{'a': 1}", "double quotes"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_strict_json_object_is_refused_in_the_parsers_words(raw: str, words: str) -> None:
    with pytest.raises(InvalidArguments, match=words):
        parse_arguments(raw)


@pytest.mark.parametrize("raw", ["", "  \n", "{}"])
def test_a_call_without_arguments_has_empty_ones(raw: str) -> None:
    assert parse_arguments(raw) == {}


def test_surrogate_halves_are_joined_or_replaced() -> None:
    assert clean_text("\ud83d\ude00") == "😀"
    assert clean_text("a\ud83d") == "a\ufffd"
    assert clean_text("plain ü") == "plain ü"
    assert parse_arguments('{"\\ud800": ["\\udc00", {"x": "\\ud83d\\ude00"}]}') == {"\ufffd": ["\ufffd", {"x": "😀"}]}
