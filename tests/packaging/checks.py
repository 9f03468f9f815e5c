"""What has to work wherever the program is installed, run in a project that has a package `models` of its own."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.packaging.distributions import ROOT

COUNT = [
    {"tool_calls": [{"name": "count_rows", "args": {"path": "rows.txt"}}]},
    {"text": "${result:(.*)}"},
]
BACKGROUND = [
    {"tool_calls": [{"name": "bash", "args": {"command": "echo from the run", "background": True}}]},
    {"text": "started"},
    {"text": "it has ended"},
]
TRANSFER: dict[str, object] = {"work": "none of the two", "token": None, "about": "a test", "arguments": {}}
IMPORTS = """
import models.net, tools.base, graph
from ml_intern.tools import ToolArgs, ToolContext, tool
from ml_intern.graph import build_graph
import ml_intern.models, ml_intern.tools.registry
print(models.net.NAME, tools.base.NAME, graph.NAME, tool.__module__, ml_intern.__version__, sep="; ")
"""


@dataclass(frozen=True)
class Project:
    """A project folder, and a home that belongs to these checks."""

    folder: Path
    home: Path

    @classmethod
    def create(cls, base: Path) -> "Project":
        """Create a project with models/net.py and a file of three rows."""
        project = cls(base / "project", base / "home")
        (project.folder / "models").mkdir(parents=True)
        (project.folder / "models/__init__.py").touch()
        (project.folder / "models/net.py").write_text("NAME = 'net of the project'\n")
        (project.folder / "rows.txt").write_text("1\n2\n3\n")
        project.home.mkdir()
        return project

    @property
    def environ(self) -> dict[str, str]:
        """The environment of everything that runs in the project: PYTHONPATH=., and ml-intern's own folder."""
        own = {"ML_INTERN_HOME": str(self.home), "PYTHONPATH": ".", "PYTHONWARNINGS": ""}
        return {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | own

    def run(self, *command: str | Path) -> str:
        """Run a command and return its output."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, question: object, *command: str | Path) -> object:
        """Start a command, write one line of JSON to it and return the line it answers."""
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environ, stdin=pipe, stdout=pipe, text=True, bufsize=1
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(json.dumps(question) + "\n")
            return json.loads(child.stdout.readline())

    def turn(self, program: Sequence[str | Path], steps: object) -> str:
        """Run a headless turn with a scripted model and return the answer."""
        script = self.home / "script.yaml"
        script.write_text(yaml.safe_dump(steps))
        return self.run(*program, "-m", f"scripted:{script}", "-p", "go")


def check_program(project: Project, program: Sequence[str | Path], version: str) -> None:
    """Check the command: version, doctor, a tool of another package, and a background run."""
    assert project.run(*program, "--version") == f"ml-intern {version}\n"
    assert version in project.run(*program, "doctor")
    assert project.turn(program, COUNT) == "3 rows, by graph of the neighbour and tools of the neighbour\n"
    project.turn(program, BACKGROUND)
    [started] = json.loads(project.run(*program, "jobs", "list", "--json"))
    project.run(*program, "jobs", "wait", started["id"])
    [ended] = json.loads(project.run(*program, "jobs", "list", "--json"))
    assert (ended["state"], ended["tail"]) == ("succeeded", "from the run\n")


def check_python(project: Project, python: Path, version: str) -> None:
    """Check the package in its interpreter: -m, the child modules, and imports beside other packages."""
    assert project.run(python, "-m", "ml_intern", "--version") == f"ml-intern {version}\n"
    answer = project.ask(TRANSFER, python, "-I", "-m", "ml_intern.tools.hub.transfer_child")
    assert "KeyError: 'none of the two'" in str(answer)
    modules = ["net of the project", "tools of the neighbour", "graph of the neighbour"]
    names = [*modules, "ml_intern.execution.tool", version]
    assert project.run(python, "-c", IMPORTS) == "; ".join(names) + "\n"


def is_of_the_checkout(python: Path, project: Project) -> bool:
    """Return whether an interpreter imports the package from this checkout."""
    where = project.run(python, "-c", "import ml_intern; print(ml_intern.__file__)")
    return Path(where.strip()).is_relative_to(ROOT)
