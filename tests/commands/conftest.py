"""Runs the command line in this process: real session, scripted model, a home and a folder of its own."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_intern import cli
from ml_intern.configs.env import CREDENTIALS


@dataclass(frozen=True)
class Done:
    """What a run of the command line left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, an empty home, no key, nothing on stdin."""
    for name in (*CREDENTIALS, "ML_INTERN_CLI_CONFIG", "LOCAL_LLM_BASE_URL", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-login"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def stdin(tmp_path: Path) -> Callable[[bytes], None]:
    """Put bytes on the stdin of every run."""
    (tmp_path / "stdin").write_bytes(b"")

    def put(content: bytes) -> None:
        (tmp_path / "stdin").write_bytes(content)

    return put


@pytest.fixture
def run(
    place: Path, stdin: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the command line in this process."""

    def run(*argv: str) -> Done:
        capfd.readouterr()
        with (place.parent / "stdin").open(encoding="utf-8") as file:
            monkeypatch.setattr(sys, "stdin", file)
            code = cli.main(argv)
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def script(place: Path) -> Callable[..., str]:
    """Write a script of replies and return the model id that plays it."""

    def write(*steps: dict[str, Any]) -> str:
        number = len(list(place.parent.glob("script*.yaml")))
        path = place.parent / f"script{number}.yaml"
        path.write_text(yaml.safe_dump(list(steps)))
        return f"scripted:{path}"

    return write


def call(name: str, **args: Any) -> dict[str, Any]:
    """A tool call of a step."""
    return {"name": name, "args": args}
