"""`mcp serve`: our tools for another agent, over stdio, with the same policy and nothing else on stdout."""

import os
import sys
from pathlib import Path

from ml_intern.configs.mcp_servers import McpServer
from ml_intern.tools.mcp.servers import Servers
from tests.execution.conftest import Bench
from tests.fakes.hub.server import FakeHub, scrubbed_environment


async def test_research_and_dataset_tools_are_offered_and_called(tmp_path: Path, bench: Bench) -> None:
    with FakeHub() as hub:
        hub.add("datasets", "ada/reviews", {"README.md": "# Reviews"})
        env = {"ML_INTERN_HOME": str(tmp_path / "served"), "PYTHONDONTWRITEBYTECODE": "1"}
        server = McpServer(
            command=sys.executable,
            args=(
                "-I",
                "-c",
                "from ml_intern.__main__ import main; main()",
                "mcp",
                "serve",
                "-C",
                str(bench.workspace),
            ),
            env={**env, **hub.environment(tmp_path / "hf", token=None), "PATH": os.environ["PATH"]},
            startup_timeout_s=60,
        )
        assert "HF_TOKEN" not in scrubbed_environment()
        servers = Servers({"ours": server}, tmp_path / "home")
        servers.start()
        try:
            await servers.settled()
            assert servers.problems() == []
            names = {name.removeprefix("mcp__ours__") for name in servers.specs}
            assert {"docs_search", "papers", "hub_search", "github", "web_read", "jobs"} <= names
            assert not names & {"bash", "write", "edit", "read", "plan", "research", "hub_repos"}
            bench.add(*servers.specs.values())
            found = await bench.run("mcp__ours__hub_search", kind="datasets", query="reviews")
            wrong = await bench.run("mcp__ours__hub_search", kind="datasets", query="x", limit=0)
        finally:
            await servers.close()
    assert found.ok
    assert "ada/reviews" in found.text
    assert not wrong.ok
