"""Commands see neither the agent's venv nor its secrets."""

import os
import sys
from pathlib import Path

import pytest

from ml_intern.execution.process.environment import child_environment, exclude_from_path, uv_links
from tests.execution.conftest import Bench


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The venv the agent runs in."""
    venv = tmp_path / "agent" / ".venv"
    (venv / "bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(venv))
    return venv


def test_only_secrets_are_removed_by_name(agent: Path) -> None:
    secrets = ["HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "MY_SECRET", "DB_PASSWORD", "github_token"]
    kept = ["HF_HOME", "CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM", "KEYBOARD", "HF_ENDPOINT", "HTTPS_PROXY"]
    found = child_environment(dict.fromkeys([*secrets, *kept], "value"), sandboxed=False)
    assert [name for name in secrets if name in found] == []
    assert {name: found.get(name) for name in kept} == dict.fromkeys(kept, "value")


def test_the_agents_venv_is_removed(agent: Path) -> None:
    started_by_uv_run = {
        "VIRTUAL_ENV": str(agent),
        "VIRTUAL_ENV_PROMPT": "agent",
        "UV": "/opt/uv",
        "UV_RUN_RECURSION_DEPTH": "1",
        "UV_PROJECT_ENVIRONMENT": str(agent),
        "UV_PYTHON": str(agent / "bin" / "python"),
        "PATH": f"{agent}/bin:/usr/local/bin:/usr/bin",
    }
    found = child_environment(started_by_uv_run, sandboxed=False)
    assert found["PATH"] == "/usr/local/bin:/usr/bin"
    assert set(found) & set(started_by_uv_run) == {"PATH"}


def test_a_venv_given_by_a_symlink_is_removed_too(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(agent)
    found = child_environment(
        {"VIRTUAL_ENV": str(tmp_path / "link"), "PATH": f"{tmp_path}/link/bin:/usr/bin"}, sandboxed=False
    )
    assert "VIRTUAL_ENV" not in found
    assert found["PATH"] == "/usr/bin"


def test_the_users_own_settings_stay(agent: Path, tmp_path: Path) -> None:
    callers = {
        "VIRTUAL_ENV": str(tmp_path / "theirs"),
        "PYTHONPATH": "src",
        "PYTHONHOME": "/opt/python",
        "UV_INDEX_URL": "https://mirror.example/simple",
        "UV_PROJECT_ENVIRONMENT": ".venv",
        "PYTHONUNBUFFERED": "",
        "PATH": f"{tmp_path}/theirs/bin:/usr/bin",
    }
    found = child_environment(callers, sandboxed=False)
    assert {name: found.get(name) for name in callers} == callers


def test_without_an_agent_venv_the_path_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    found = child_environment(
        {"VIRTUAL_ENV": sys.base_prefix, "PATH": f"{sys.base_prefix}/bin:/usr/bin"}, sandboxed=False
    )
    assert found["PATH"] == f"{sys.base_prefix}/bin:/usr/bin"
    assert found["VIRTUAL_ENV"] == sys.base_prefix


def test_only_a_sandboxed_command_finds_programs_of_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin")
    exclude_from_path([str(tmp_path)])
    assert child_environment(os.environ, sandboxed=True)["PATH"] == f"{tmp_path}/bin:/usr/bin"
    assert child_environment(os.environ, sandboxed=False)["PATH"] == "/usr/bin"


def test_uv_comes_last_on_path_from_a_folder_with_nothing_else(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    for name in ("uv", "uvx", "python"):
        (agent / "bin" / name).write_text("")
    links = uv_links()
    assert links is not None
    assert {link.name: link.readlink() for link in links.iterdir()} == {
        "uv": agent / "bin" / "uv",
        "uvx": agent / "bin" / "uvx",
    }
    assert uv_links() == links
    assert child_environment({"PATH": "/usr/bin"}, links, sandboxed=False)["PATH"] == f"/usr/bin:{links}"


def test_without_uv_in_the_agents_venv_there_are_no_links(agent: Path) -> None:
    assert uv_links() is None


async def test_a_command_does_not_see_the_agents_secrets(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_not_for_children_0123456789")
    result = await bench.run("bash", command="env | grep -c not_for_children; env > seen")
    assert result.text.startswith("0\n")
    assert "HF_TOKEN" not in (bench.workspace / "seen").read_text()


async def test_uv_in_a_command_does_not_install_into_the_agents_venv(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.prefix == sys.base_prefix or not Path(sys.prefix, "bin", "uv").exists():
        pytest.skip("the tests do not run in a venv with uv")
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    monkeypatch.setenv("PATH", os.pathsep.join([f"{sys.prefix}/bin", "/usr/bin", "/bin"]))
    monkeypatch.delenv("UV_PYTHON", raising=False)
    result = await bench.run("bash", command="command -v uv; uv pip install --offline nothing-of-that-name")
    assert result.text.startswith(f"{tmp_path}/home/cache/bin/uv\n")
    assert "No virtual environment found" in result.text
    assert (await bench.run("bash", command="uv venv -q --offline && uv pip list")).ok
