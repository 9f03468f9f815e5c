"""`demo`: a real run without a key. The model is a script; the graph, the tools and the training are real."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.options import MODEL_OPTIONS, Options, is_interactive, takes_options
from ml_intern.configs import demo as files
from ml_intern.configs.errors import ConfigurationError, TemporaryError, UsageError
from ml_intern.session.opening.store import open_store

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.app import Messages

PROGRAM = "uv run ml-intern" if "UV_RUN_RECURSION_DEPTH" in os.environ else "ml-intern"
"""How the user starts the program: `uv run` leaves it on nobody's PATH."""
SCRIPTED = f"scripted:{files.SCRIPT}"
DEFAULT_SEED = 7
MAX_SEED = 2**32 - 1
SCRIPT_BLOCK = "# /// script\n"
FETCH_SECONDS = 900

Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="seed of the split")]
Folder = Annotated[str | None, typer.Option("--dir", metavar="DIR", help="a new or empty folder to work in")]


@takes_options(*MODEL_OPTIONS, "print_", "output_format", "approval_mode", "sandbox", "quiet", "verbose")
def demo(seed: Seed = DEFAULT_SEED, folder: Folder = None, *, options: Options) -> int:
    """Train a digit classifier in a new folder: a plan, a script that fails first and is mended, a model card.

    Without -m the model is scripted and no key is needed; the package index is, once. On a terminal the first
    command asks; headless nothing does.
    """
    return run_demo(options, seed, folder)


def run_demo(options: Options, seed: int, folder: str | None) -> int:
    """Make the folder, run the demo in it, say how to go on; the exit code."""
    say = _quiet if options.quiet else _say
    if options.model is None:
        say("demo: the model is scripted; the graph, the tools, the training and the numbers are real")
        fetch_packages(say)
    work = make_folder(folder, seed)
    say(f"demo: working in {work}")
    task = files.TASK.read_text(encoding="utf-8").strip()
    chosen = replace(options, model=options.model or SCRIPTED, cd=str(work), set_=[*options.set_, "save_sessions=true"])
    code = _run(chosen, task, scripted=options.model is None)
    for line in asyncio.run(_how_to_go_on(work, options.model, code)):
        say(line)
    return code


def _run(options: Options, task: str, *, scripted: bool) -> int:
    if not is_interactive(options):
        from ml_intern.commands.running.headless import run_headless
        from ml_intern.graph.operations import UserInput

        return asyncio.run(run_headless(options, UserInput(task)))
    from ml_intern.commands.running.interactive import run_interactive
    from ml_intern.commands.setup.demo_guide import OneTurn, TaskFirst

    guides: list[TaskFirst] = []

    def guide(session: "Session", person: "Messages") -> TaskFirst:
        guides.append((OneTurn if scripted else TaskFirst)(session, person, task))
        return guides[0]

    code = asyncio.run(run_interactive(options, guide))
    return code or (guides[0].exit_code if scripted and guides else 0)


def make_folder(wanted: str | None, seed: int) -> Path:
    """The folder of the run with its settings file in it: `wanted`, or a new one in the working folder.

    Raises:
        UsageError: `wanted` is not empty, or no folder can be made there.
    """
    try:
        folder = (
            Path(wanted).expanduser() if wanted else Path(tempfile.mkdtemp(prefix="ml-intern-demo-", dir=Path.cwd()))
        )
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"--dir names a folder that is not empty: {wanted}", "name a new one")
        settings = json.loads(files.SETTINGS.read_text(encoding="utf-8")) | {"seed": seed}
        (folder / files.SETTINGS.name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        place = wanted or "the working folder"
        raise UsageError(f"cannot make a folder in {place}: {error.strerror}", "name one with --dir") from error
    return folder.resolve()


def packages() -> list[str]:
    """What the script that the scripted model writes depends on, from its own inline metadata."""
    import yaml

    steps = yaml.safe_load(files.SCRIPT.read_text(encoding="utf-8"))
    written = (call["args"].get("content", "") for step in steps for call in step.get("tool_calls", []))
    script = next(text for text in written if text.startswith(SCRIPT_BLOCK))
    block = script.removeprefix(SCRIPT_BLOCK).partition("# ///")[0]
    found: list[str] = tomllib.loads(block.replace("# ", ""))["dependencies"]
    return found


def fetch_packages(say: Callable[[str], None]) -> None:
    """Have uv fetch what the demo trains with, so that a missing package index is one line and not a failed run.

    Raises:
        TemporaryError: uv could not fetch them.
        ConfigurationError: there is no uv.
    """
    say("demo: fetching scikit-learn and matplotlib if they are not there yet (once, about 80 MB)")
    wanted = [word for package in packages() for word in ("--with", package)]
    command = ["uv", "run", "--no-project", *wanted, "python", "-c", "pass"]
    try:
        done = subprocess.run(
            command,
            check=False,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
        )
    except FileNotFoundError as error:
        raise ConfigurationError("uv is not installed", "pip install uv") from error
    except subprocess.TimeoutExpired as error:
        raise TemporaryError(_unfetched(f"no answer within {FETCH_SECONDS} s"), _REMEDY) from error
    if done.returncode:
        raise TemporaryError(_unfetched(_cause(done.stderr)), _REMEDY)


TREE = " \t\u2570\u2500\u25b6\u2502\u251c\u00d7"
"""What uv draws its errors with."""
_REMEDY = "check the network, or name a mirror in UV_DEFAULT_INDEX; once fetched, the demo runs without it"


def _unfetched(cause: str) -> str:
    return f"the demo needs the package index once, and uv could not fetch scikit-learn and matplotlib: {cause}"


def _cause(stderr: str) -> str:
    """What uv says went wrong, and the innermost cause it names, in one line."""
    lines = [line.strip(TREE) for line in stderr.splitlines() if line.strip(TREE)]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")] or lines
    causes = [match[1] for line in lines if (match := re.match(r"(?:cause|Caused by): (.+)", line))]
    return ": ".join([*said[:1], *causes[-1:]]) or "uv said nothing"


def _environment() -> Mapping[str, str]:
    from ml_intern.execution.process.environment import child_environment, uv_links

    return child_environment(os.environ, uv_links())


async def _how_to_go_on(folder: Path, model: str | None, code: int) -> list[str]:
    """The lines after the run: the files, the thread, and what can be done with it."""
    async with open_store() as store:
        row = await store.threads.latest(str(folder))
    if row is None:
        return []
    thread = row.id[:8]
    lines = [
        f"demo: {folder} holds {', '.join(sorted(path.name for path in folder.iterdir()))}",
        f"demo: thread {row.id}",
        f"  show it:       {PROGRAM} threads show {thread}",
    ]
    if code == 0 or model:
        played = shlex.quote(model or SCRIPTED)
        lines.append(f'  continue it:   {PROGRAM} -r {thread} -m {played} "read the numbers again"')
    if model is None:
        lines.append(f"  a real model:  {PROGRAM} demo -m MODEL, or {PROGRAM} -r {thread} -m MODEL")
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(line: str) -> None:
    """Say nothing."""
