"""A server of the user loads no file of the working folder when it starts; the server of a trusted project does."""

import json
import sys
from pathlib import Path

import pytest

from ml_intern.configs.layers import load
from ml_intern.configs.mcp_servers import McpServer
from ml_intern.tools.mcp.servers import Servers

MODULE = "import os, pathlib\npathlib.Path(os.environ['REPORT']).write_text(os.getcwd())\n"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, in which a sandboxed command left a module with the name of a server."""
    for name in ("home", "ws"):
        (tmp_path / name).mkdir()
    (tmp_path / "ws/notes_server.py").write_text(MODULE)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "ml-intern"))
    monkeypatch.chdir(tmp_path / "ws")
    return tmp_path / "ws"


async def ran_in(server: McpServer, home: Path) -> str:
    """Start a server and return the folder in which the module of the working folder ran; "" if it did not."""
    servers = Servers({"notes": server}, home)
    servers.start()
    await servers.settled()
    await servers.close()
    report = Path(server.env["REPORT"])
    return report.read_text() if report.exists() else ""


async def test_a_module_in_the_working_folder_runs_for_the_projects_server_only(workspace: Path) -> None:
    report = workspace.parent / "report"
    entry = {"command": sys.executable, "args": ["-m", "notes_server"], "env": {"REPORT": str(report)}}
    assert await ran_in(McpServer.model_validate(entry), workspace.parent) == ""
    (workspace / ".mcp.json").write_text(json.dumps({"mcpServers": {"notes": entry}}))
    project = load(workspace, trust=True).settings.mcpServers["notes"]
    assert await ran_in(project, workspace.parent) == str(workspace)
    named = McpServer.model_validate({**entry, "cwd": str(workspace)})
    assert await ran_in(named, workspace.parent) == str(workspace)
