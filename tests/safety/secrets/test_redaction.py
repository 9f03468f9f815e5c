import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from ml_intern.safety.secrets.redaction import admit, has_placeholder, hold, hold_environment, release_all

CASES = [json.loads(line) for line in (Path(__file__).parent.parent / "data/secrets.jsonl").read_text().splitlines()]
HELD = "Correct-Horse/Battery+Staple?77"


def labelled(expected: str) -> list[dict[str, str]]:
    return [case for case in CASES if case["expected"] == expected]


def case_name(case: dict[str, str]) -> str:
    return f"{case['kind']}-{case['context']}"


@pytest.fixture
def held():
    hold({"MY_TOKEN": HELD})
    yield HELD
    release_all()


@pytest.mark.parametrize("case", labelled("redact"), ids=case_name)
def test_a_labelled_secret_is_redacted(case: dict[str, str]) -> None:
    assert case["secret"] not in admit(case["text"])


@pytest.mark.parametrize("case", labelled("keep"), ids=case_name)
def test_a_labelled_harmless_text_is_kept(case: dict[str, str]) -> None:
    assert admit(case["text"]) == case["text"]


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_redacting_twice_changes_nothing(case: dict[str, str]) -> None:
    once = admit(case["text"])
    assert admit(once) == once


@pytest.mark.parametrize(
    "form",
    [
        HELD,
        quote(HELD, safe=""),
        quote(HELD),
        base64.b64encode(HELD.encode()).decode(),
        base64.b64encode(b"user:" + HELD.encode()).decode(),
        base64.urlsafe_b64encode(b"u:" + HELD.encode() + b"!").decode(),
        HELD.encode().hex(),
        json.dumps(HELD),
    ],
)
def test_a_held_value_is_redacted_in_every_encoding(held: str, form: str) -> None:
    out = admit(f"before {form} after")
    assert "[redacted:MY_TOKEN]" in out
    assert form not in out
    assert out.startswith("before ")
    assert out.endswith(" after")


def test_the_environment_names_what_is_held() -> None:
    hold_environment({"A_PASSWORD": "hunter2hunter2", "PROXY": "http://u:swordfish9@proxy:1", "EDITOR": "vim-as-ever"})
    try:
        assert admit("hunter2hunter2 swordfish9 vim-as-ever") == "[redacted:A_PASSWORD] [redacted:PROXY] vim-as-ever"
    finally:
        release_all()


def test_a_held_value_that_is_part_of_its_own_placeholder_ends() -> None:
    hold({"REDACTED_TOKEN": "REDACTED_TOKEN"})
    try:
        assert admit("a REDACTED_TOKEN b") == "a [redacted:REDACTED_TOKEN] b"
    finally:
        release_all()


def test_placeholders_are_found_wherever_they_stand_in_arguments() -> None:
    assert has_placeholder({"edits": [{"new": "x = '[redacted:HF_TOKEN]'"}]})
    assert has_placeholder({"[redacted:value]": 1})
    assert not has_placeholder({"command": "echo redacted", "n": 3, "none": None})
