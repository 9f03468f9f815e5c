"""The installed program, run as a process of its own in a folder and a home of its own."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.hub.server import scrubbed_environment
from tests.terminal.driver import PROGRAM


class Program:
    """A folder to work in, a home without MCP servers, and no credentials but those in `environment`."""

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self.root, self.folder = root, root / "work"
        self.prefix: tuple[str, ...] = ()
        self.command: tuple[str, ...] = (PROGRAM,)
        self.folder.mkdir()
        settings = root / "settings.json"
        settings.write_text(json.dumps({"mcpServers": {"hf-mcp-server": {"enabled": False}}}))
        kept = {name: value for name, value in scrubbed_environment().items() if not name.endswith("_KEY")}
        own = {"ML_INTERN_HOME": str(root / "home"), "ML_INTERN_CLI_CONFIG": str(settings), "HF_HOME": str(root / "hf")}
        self.environment = {**kept, **own, **(environment or {})}

    def script(self, *steps: dict[str, Any], name: str = "script.yaml") -> str:
        """Write a script of replies and return the model id that plays it."""
        path = self.root / name
        path.write_text(yaml.safe_dump(list(steps)))
        return f"scripted:{path}"

    def start(self, *argv: str) -> "subprocess.Popen[str]":
        """Start it in a process group of its own, with nothing on stdin."""
        return subprocess.Popen(
            [*self.prefix, *self.command, *argv], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        with self.start(*argv) as process:
            out, err = process.communicate(timeout=90)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)
