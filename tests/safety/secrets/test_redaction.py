import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ml_intern.safety.secrets.redaction import (
    add_known_secrets,
    clear_known_secrets,
    has_placeholder,
    redact,
    register_environment,
)

CASES = [json.loads(line) for line in (Path(__file__).parent.parent / "data/secrets.jsonl").read_text().splitlines()]
VALUE = "Correct-Horse/Battery+Staple?77"


def labelled(expected: str) -> list[dict[str, str]]:
    return [case for case in CASES if case["expected"] == expected]


def case_name(case: dict[str, str]) -> str:
    return f"{case['kind']}-{case['context']}"


@pytest.fixture
def known_value() -> Iterator[str]:
    add_known_secrets({"MY_TOKEN": VALUE})
    yield VALUE
    clear_known_secrets()


@pytest.mark.parametrize("case", labelled("redact"), ids=case_name)
def test_a_labelled_secret_is_redacted(case: dict[str, str]) -> None:
    assert case["secret"] not in redact(case["text"])


@pytest.mark.parametrize("case", labelled("keep"), ids=case_name)
def test_a_labelled_harmless_text_is_unchanged(case: dict[str, str]) -> None:
    assert redact(case["text"]) == case["text"]


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_redacting_twice_changes_nothing(case: dict[str, str]) -> None:
    once = redact(case["text"])
    assert redact(once) == once


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        quote(VALUE, safe=""),
        quote(VALUE),
        base64.b64encode(VALUE.encode()).decode(),
        base64.b64encode(b"user:" + VALUE.encode()).decode(),
        base64.urlsafe_b64encode(b"u:" + VALUE.encode() + b"!").decode(),
        VALUE.encode().hex(),
        json.dumps(VALUE),
    ],
)
def test_a_known_secret_is_redacted_in_every_encoding(known_value: str, form: str) -> None:
    out = redact(f"before {form} after")
    assert "[redacted:MY_TOKEN]" in out
    assert form not in out
    assert out.startswith("before ")
    assert out.endswith(" after")


def test_secrets_of_the_environment_are_registered() -> None:
    register_environment(
        {"A_PASSWORD": "hunter2hunter2", "PROXY": "http://u:swordfish9@proxy:1", "EDITOR": "vim-as-ever"}
    )
    try:
        assert redact("hunter2hunter2 swordfish9 vim-as-ever") == "[redacted:A_PASSWORD] [redacted:PROXY] vim-as-ever"
    finally:
        clear_known_secrets()


def test_a_known_secret_contained_in_its_own_placeholder_terminates() -> None:
    add_known_secrets({"REDACTED_TOKEN": "REDACTED_TOKEN"})
    try:
        assert redact("a REDACTED_TOKEN b") == "a [redacted:REDACTED_TOKEN] b"
    finally:
        clear_known_secrets()


def test_placeholders_are_found_anywhere_in_arguments() -> None:
    assert has_placeholder({"edits": [{"new": "x = '[redacted:HF_TOKEN]'"}]})
    assert has_placeholder({"[redacted:value]": 1})
    assert not has_placeholder({"command": "echo redacted", "n": 3, "none": None})


HEX = "fa4eab55e37baa0ad26bb256a643b2b037c54082"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f'{{"username":"ada","key":"{HEX[:32]}"}}', HEX[:32]),
        (f"wandb: {HEX}", HEX),
        (f"wandb_key = {HEX}", HEX),
        ("mysql -u root -pHunter2x db", "Hunter2x"),
        ("mysqldump -h h -u r -p'Hunter2x' db", "Hunter2x"),
        ("sshpass -p Hunter2x ssh h", "Hunter2x"),
        ("SSHPASS=Hunter2x sshpass -e ssh h", "Hunter2x"),
        ("redis-cli -h h -a Hunter2x", "Hunter2x"),
        ("unzip -P Hunter2x a.zip", "Hunter2x"),
        ("openssl enc -aes256 -k Hunter2x -in a", "Hunter2x"),
        ("docker login -u me -p Hunter2x", "Hunter2x"),
        ("twine upload -u __token__ -p Hunter2x dist/a", "Hunter2x"),
        ("ldapsearch -x -w Hunter2x", "Hunter2x"),
        ("7z x -pHunter2x a.7z", "Hunter2x"),
        ("smbclient -U u%Hunter2x //h/s", "Hunter2x"),
        ("wandb login --relogin 0123456789abcdef0123456789abcdef01234567", "0123456789abcdef0123456789abcdef01234567"),
        ("sshpass -p 'Hunter2x' ssh h", "Hunter2x"),
        (f"https://s3.example/x?X-Amz-Signature={HEX}&b=1", HEX),
        (f"SharedAccessSignature=sv=2020&sig={HEX}%3D&se=1", HEX),
        (f"sig={HEX}", HEX),
    ],
)
def test_keys_in_tool_files_command_lines_and_signed_urls_are_redacted(text: str, secret: str) -> None:
    assert secret not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        f"commit {HEX}",
        "mysql -P 3306 -p db",
        "docker run -p 8080:80 img",
        "docker login -u me",
        "zip -r a.zip src",
        "7z a x.7z -v100m",
        "redis-cli -h h -p 6379",
        "openssl enc -d -in a -out b",
        "twine upload --skip-existing dist/a",
        "wandb: Syncing run a",
        '"key": "value"',
        "signature = inspect.signature(x)",
    ],
)
def test_what_resembles_them_is_unchanged(text: str) -> None:
    assert redact(text) == text
