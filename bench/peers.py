"""Other agents from npm, in a folder of their own and against the same model server: pi and Codex.

They run without sandbox and questions, as ml-intern does beside them.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("@mariozechner/pi-coding-agent@0.73.1", "@openai/codex@0.169.0")
FOLDER = Path(__file__).resolve().parents[1] / ".cache/peers"
TASK = "Go through the steps."
CODEX = """
model = "bench"
model_provider = "bench"
[model_providers.bench]
name = "bench"
base_url = "{base}/v1"
env_key = "BENCH_KEY"
wire_api = "responses"
"""


@dataclass(frozen=True)
class Peer:
    """An agent: its program, and how it is prepared in a home of its own."""

    name: str
    program: Path
    arguments: tuple[str, ...]
    prepare: Callable[[Path, str], Mapping[str, str]]
    """Write the configuration into a home, for a server; return the variables."""

    @property
    def command(self) -> tuple[str, ...]:
        """The command line of a run."""
        return (str(self.program), *self.arguments, TASK)


def _pi(home: Path, base: str) -> Mapping[str, str]:
    model = {"id": "bench", "contextWindow": 10_000_000, "maxTokens": 4096}
    provider = {"baseUrl": f"{base}/v1", "api": "openai-completions", "apiKey": "bench", "models": [model]}
    (home / "models.json").write_text(json.dumps({"providers": {"bench": provider}}))
    return {"PI_CODING_AGENT_DIR": str(home), "PI_OFFLINE": "1", "PI_TELEMETRY": "0"}


def _codex(home: Path, base: str) -> Mapping[str, str]:
    (home / "config.toml").write_text(CODEX.format(base=base))
    return {"CODEX_HOME": str(home), "BENCH_KEY": "bench"}


def installed() -> list[Peer]:
    """Install the agents, once, and return them; none without npm or its registry."""
    programs = FOLDER / "node_modules/.bin"
    if not all((programs / name).exists() for name in ("pi", "codex")):
        npm = shutil.which("npm")
        if npm is None:
            return []
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES]
        if subprocess.run(command, check=False).returncode:
            return []
    pi = ("-p", "--provider", "bench", "--model", "bench", "--thinking", "off")
    codex = ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    return [Peer("pi", programs / "pi", pi, _pi), Peer("Codex", programs / "codex", codex, _codex)]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment with the variables of a peer."""
    return {**os.environ, **variables}
