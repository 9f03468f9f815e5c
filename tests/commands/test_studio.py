"""`studio`: what it says when it cannot start, and what it tells the server."""

import json
import socket
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.version import install_hint
from ml_intern.graph.context import RunOptions
from ml_intern.server.options import VARIABLE, ServedOptions
from ml_intern.server.studio_process import GRAPH, QUIET, SERVED, free_port, server_environment
from tests.fakes.model_server import FakeModelServer

ROOT = Path(__file__).parents[2]


def python(code: str, folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a process with no keys and a home of its own."""
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "ML_INTERN_HOME": str(folder / "home"), **environ}
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("missing", ["langgraph_cli", "langgraph_api"])
def test_without_the_extra_it_is_one_line_with_the_remedy(missing: str, tmp_path: Path) -> None:
    done = python(
        f"sys.modules[{missing!r}] = None; from ml_intern import cli; sys.exit(cli.main(['studio']))", tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (78, "", 1)
    assert done.stderr == f"ml-intern: LangGraph's server is not installed ({install_hint('studio')})\n"


def test_a_port_in_use_is_one_line_and_without_a_wish_another_one_is_taken() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(TemporaryError, match=f"port {port} is in use"):
            free_port(port)
    assert free_port(None) > 0


CHECKED = (
    "import asyncio; from ml_intern.commands.serving.studio import checked, served_options; "
    "from ml_intern.commands.options import Options; print(asyncio.run(checked(served_options(Options()))).run.model)"
)


def test_without_a_key_it_says_so_and_serves_the_threads(tmp_path: Path) -> None:
    done = python(CHECKED, tmp_path)
    assert done.stdout == "anthropic/claude-sonnet-5\n"
    assert done.stderr.count("threads can be viewed, but not run: no API key for anthropic/claude-sonnet-5") == 1
    named = python(CHECKED, tmp_path, ML_INTERN_DEFAULT_MODEL_ID="ollama/x")
    assert (named.stdout, named.stderr) == ("ollama/x\n", "")


def test_a_strict_budget_refuses_a_model_of_unknown_price_before_the_server_starts(tmp_path: Path) -> None:
    pytest.importorskip("langgraph_api", reason="needs the extra [studio]: uv sync --extra studio")
    with FakeModelServer() as server:
        words = ["studio", "-m", "fake", "--base-url", server.url, "--no-sandbox", "--strict-budget"]
        code = f"from ml_intern import cli; sys.exit(cli.main({words!r}))"
        done = python(code, tmp_path, OPENAI_API_KEY="k")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (78, "", 1)
        assert "no price is known for fake, and the budget is strict" in done.stderr
        assert server.asked == []


def test_the_server_is_told_by_us_alone_and_speaks_to_nobody() -> None:
    served = ServedOptions(RunOptions(model="m", workspace="/w"))
    given = {"LANGSMITH_API_KEY": "k", "LANGSMITH_TRACING": "true", "LANGGRAPH_AUTH": "x", "OPENAI_API_KEY": "k"}
    told = server_environment(given, served)
    assert told == {"OPENAI_API_KEY": "k", **QUIET, VARIABLE: served.as_text()}
    assert QUIET["LANGSMITH_TRACING"] == "false"
    assert QUIET["LANGGRAPH_CLI_NO_ANALYTICS"] == "1"


def test_langgraph_json_names_what_the_command_serves() -> None:
    written = json.loads((ROOT / "langgraph.json").read_text())
    assert written["graphs"].keys() == SERVED["graphs"].keys() == {GRAPH}
    for path in (written["graphs"][GRAPH], written["checkpointer"]["path"], written["http"]["app"]):
        file, _, name = path.partition(":")
        spec = spec_from_file_location("loaded_by_path", ROOT / file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        assert hasattr(module, name)
    assert {**written["http"], "app": ""} == {**SERVED["http"], "app": ""}


def test_the_wheel_needs_no_file_of_the_checkout() -> None:
    named = [SERVED["graphs"][GRAPH], SERVED["checkpointer"]["path"], SERVED["http"]["app"]]
    assert not [path for path in named if "/" in path]
