"""The values in a workspace's .env files are redacted; ordinary settings in them are not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_intern.safety.secrets.env_files import register_env_files
from ml_intern.safety.secrets.redaction import clear_known_secrets, redact

SECRETS = {
    "DB_PASSWORD": "correct horse battery",
    "MY_SERVICE_KEY": "plainlookingvalue",
    "STRIPE_SECRET_PROD": "abcdefgh-ijkl",
    "WEBHOOK": "hook-value-of-mine",
    "UNNAMED": "a1b2c3d4e5f6a7b8c9d0e1f2a3",
}
ORDINARY = {
    "MODEL": "meta-llama/Llama-3.1-8B-Instruct",
    "TOKENIZER": "bert-base-uncased",
    "KEY_PATH": "/data/keys/none",
    "MAX_TOKENS": "20480000",
    "HF_ENDPOINT": "https://hub.example/v1",
}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    clear_known_secrets()
    yield
    clear_known_secrets()


def lines(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


@pytest.mark.parametrize("name", [".env", ".env.local", "sub/.env", "sub/deep/.env.production", "prod.env"])
def test_secrets_of_env_files_are_redacted_anywhere(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"export QUOTED_TOKEN='a quoted value' # note\n{lines(SECRETS)}{lines(ORDINARY)}")
    register_env_files([str(tmp_path)])
    for value in (*SECRETS.values(), "a quoted value"):
        assert value not in redact(f"printed {value} here")
    for value in ORDINARY.values():
        assert redact(f"uses {value} here") == f"uses {value} here"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_KEY=first-value-x\n")
    register_env_files([str(tmp_path)])
    (tmp_path / ".env").write_text("API_KEY=the-second-value\n")
    register_env_files([str(tmp_path)])
    assert "the-second-value" not in redact("echo the-second-value")


def test_examples_links_pipes_and_missing_folders_are_skipped(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text("API_KEY=value-of-the-example\n")
    (tmp_path / ".env").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / ".env.local")
    register_env_files([str(tmp_path), str(tmp_path / "missing")])
    assert redact("value-of-the-example") == "value-of-the-example"
