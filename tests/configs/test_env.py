"""What .env files may say, and ${NAME} in settings."""

import os
from pathlib import Path

import pytest

from ml_intern.configs.env import CREDENTIALS, adopt_credentials, expand, parse_env_file, read_env_files
from ml_intern.configs.providers import LOCAL_SERVERS, MODEL_PROVIDERS


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("  A = b  ", "b"),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ("A='b # c'", "b # c"),
        ('A="b\\n\\"c\\""  # why', 'b\n"c"'),
        ("A='$B \\n'", "$B \\n"),
        ("A=", ""),
        ("A=# why", ""),
        ("A=ü=1", "ü=1"),
    ],
)
def test_a_line_is_read_as_shells_and_other_readers_do(line: str, value: str) -> None:
    assert parse_env_file(line) == {"A": value}


@pytest.mark.parametrize("line", ["", "# A=b", "not a line", "1A=b", "A b", "=x"])
def test_what_is_no_assignment_is_passed_over(line: str) -> None:
    assert parse_env_file(f"{line}\r\nGOOD=1") == {"GOOD": "1"}


def test_the_earlier_folder_wins(tmp_path: Path) -> None:
    for name, text in (("near", "A=near"), ("far", "A=far\nB=far")):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".env").write_text(text)
    assert read_env_files([tmp_path / "near", tmp_path / "far", tmp_path / "none"]) == {"A": "near", "B": "far"}


def test_only_known_credentials_enter_the_environment_and_never_over_what_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "mine")
    monkeypatch.setenv("HF_TOKEN", "")
    values = {"HF_TOKEN": "theirs", "OPENAI_API_KEY": "theirs", "OPENAI_BASE_URL": "http://evil", "PATH": "/evil"}
    assert adopt_credentials(values) == ["HF_TOKEN"]
    assert os.environ["HF_TOKEN"] == "theirs"
    assert os.environ["OPENAI_API_KEY"] == "mine"
    assert "evil" not in os.environ["PATH"]


def test_every_providers_key_is_a_known_credential() -> None:
    hosted = [name for provider in MODEL_PROVIDERS.values() if not provider.ambient for name in provider.key_envs]
    assert set(hosted) | {server.key_envs[0] for server in LOCAL_SERVERS.values()} <= set(CREDENTIALS)


def test_no_endpoint_is_a_credential() -> None:
    assert not [name for name in CREDENTIALS if name.endswith(("_URL", "_BASE", "_ENDPOINT", "_HOST"))]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "1"),
        ("x${A}y${B:-2}", "x1y2"),
        ("${EMPTY:-2}", "2"),
        ("${EMPTY}", ""),
        ("${B:-}", ""),
        ("$A {A}", "$A {A}"),
        ("${B:-http://h:1/x}", "http://h:1/x"),
    ],
)
def test_references_are_replaced(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "EMPTY": ""}) == expanded


def test_an_unset_name_without_default_is_named() -> None:
    with pytest.raises(KeyError, match="MISSING"):
        expand("${MISSING}", {})
