"""The advice on how to add an extra fits the way the program was installed."""

from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.version import hint_for

INDEX: dict[str, Any] = {}
GIT = {"url": "https://code.example/ml.git", "vcs_info": {"vcs": "git", "commit_id": "0123abc"}}
WHEEL = {"url": "file:///tmp/ml_intern_graph-1.0.0-py3-none-any.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("made_by", "origin", "hint"),
    [
        ("pyvenv.cfg", INDEX, "pip install 'ml-intern-graph[plot]'"),
        ("pyvenv.cfg", GIT, "pip install 'ml-intern-graph[plot] @ git+https://code.example/ml.git@0123abc'"),
        ("pyvenv.cfg", WHEEL, f"pip install 'ml-intern-graph[plot] @ {WHEEL['url']}'"),
        ("uv-receipt.toml", INDEX, "uv tool install 'ml-intern-graph[plot]'"),
        ("uv-receipt.toml", GIT, "uv tool install 'ml-intern-graph[plot] @ git+https://code.example/ml.git@0123abc'"),
        ("pipx_metadata.json", INDEX, "pipx install --force 'ml-intern-graph[plot]'"),
    ],
)
def test_the_command_is_that_of_the_installer(tmp_path: Path, made_by: str, origin: dict[str, Any], hint: str) -> None:
    (tmp_path / made_by).touch()
    assert hint_for("plot", tmp_path, origin) == hint


def test_in_the_environment_of_a_checkout_it_is_uv_sync(tmp_path: Path) -> None:
    origin = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    assert hint_for("studio", tmp_path / ".venv", origin) == "uv sync --extra studio"


def test_an_editable_installation_elsewhere_stays_editable(tmp_path: Path) -> None:
    checkout, prefix = tmp_path / "my checkout", tmp_path / "env"
    prefix.mkdir()
    origin = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    assert hint_for("sql", prefix, origin) == f"pip install -e '{checkout}[sql]'"
    (prefix / "uv-receipt.toml").touch()
    assert hint_for("sql", prefix, origin) == f"uv tool install -e '{checkout}[sql]'"


def test_with_uvx_the_extra_is_named_on_the_command_line(tmp_path: Path) -> None:
    assert hint_for("sql", tmp_path / "archive-v0" / "x1y2", INDEX) == "uvx --from 'ml-intern-graph[sql]' ml-intern"
