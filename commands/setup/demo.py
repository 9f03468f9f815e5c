"""`demo`: a real run without an API key. Only the model is scripted; the graph, tools and training are real."""

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
from typing import Annotated

import typer

from ml_intern.commands.options import MODEL_OPTIONS, Options, is_interactive, takes_options
from ml_intern.configs import demo as files
from ml_intern.configs.errors import ConfigurationError, TemporaryError, UsageError
from ml_intern.session.opening.store import open_store

PROGRAM = "uv run ml-intern" if "UV_RUN_RECURSION_DEPTH" in os.environ else "ml-intern"
"""The command that starts the program: `uv run` does not add it to the user's PATH."""
SCRIPTED = f"scripted:{files.SCRIPT}"
DEFAULT_SEED = 7
MAX_SEED = 2**32 - 1
SCRIPT_BLOCK = "# /// script\n"
FETCH_SECONDS = 900

Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="random seed of the data split")]
Folder = Annotated[str | None, typer.Option("--dir", metavar="DIR", help="working folder, new or empty")]


@takes_options(*MODEL_OPTIONS, "print_", "output_format", "approval_mode", "sandbox", "quiet", "verbose")
def demo(seed: Seed = DEFAULT_SEED, folder: Folder = None, *, options: Options) -> int:
    """Train a digit classifier in a new folder: plan, fix a failing script, train, write a model card.

    Without -m the model is scripted and needs no API key; the first demo downloads packages. On a terminal the
    first command asks for approval; headless, nothing asks.
    """
    return run_demo(options, seed, folder)


def run_demo(options: Options, seed: int, folder: str | None) -> int:
    """Make the folder, run the demo in it, print the next steps and return the exit code."""
    say = _quiet if options.quiet else _say
    if options.model is None:
        say("demo: the model is scripted; the graph, the tools, the training and the numbers are real")
        fetch_packages(say)
    work = make_folder(folder, seed)
    say(f"demo: working in {work}")
    task = files.TASK.read_text(encoding="utf-8").strip()
    chosen = replace(options, model=options.model or SCRIPTED, cd=str(work), set_=[*options.set_, "save_sessions=true"])
    code = _run(chosen, task, scripted=options.model is None)
    for line in asyncio.run(_next_steps(work, options.model, code)):
        say(line)
    return code


def _run(options: Options, task: str, *, scripted: bool) -> int:
    if not is_interactive(options):
        from ml_intern.commands.running.headless import run_headless
        from ml_intern.graph.operations import UserInput

        return asyncio.run(run_headless(options, UserInput(task)))
    from ml_intern.commands.running.interactive import run_interactive
    from ml_intern.commands.setup.demo_guide import DemoGuide

    guide = DemoGuide(task, one_turn=scripted)
    code = asyncio.run(run_interactive(options, guide)) or 0
    return code or (guide.exit_code if scripted else 0)


def make_folder(wanted: str | None, seed: int) -> Path:
    """Make the folder of the run, with its settings file: `wanted`, or a new one in the working folder.

    Raises:
        UsageError: `wanted` is not empty, or the folder cannot be created.
    """
    try:
        folder = (
            Path(wanted).expanduser() if wanted else Path(tempfile.mkdtemp(prefix="ml-intern-demo-", dir=Path.cwd()))
        )
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"the folder {wanted} is not empty", "choose a new or empty folder with --dir")
        settings = json.loads(files.SETTINGS.read_text(encoding="utf-8")) | {"seed": seed}
        (folder / files.SETTINGS.name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        place = wanted or "the working folder"
        raise UsageError(f"cannot create a folder in {place}: {error.strerror}", "choose another with --dir") from error
    return folder.resolve()


def packages() -> list[str]:
    """Return the dependencies of the script that the scripted model writes, from its inline metadata."""
    import yaml

    steps = yaml.safe_load(files.SCRIPT.read_text(encoding="utf-8"))
    written = (call["args"].get("content", "") for step in steps for call in step.get("tool_calls", []))
    script = next(text for text in written if text.startswith(SCRIPT_BLOCK))
    block = script.removeprefix(SCRIPT_BLOCK).partition("# ///")[0]
    found: list[str] = tomllib.loads(block.replace("# ", ""))["dependencies"]
    return found


def fetch_packages(say: Callable[[str], None]) -> None:
    """Download the demo's packages with uv first, so that a network failure is one line and not a failed run.

    Raises:
        TemporaryError: uv could not download them.
        ConfigurationError: uv is not installed.
    """
    say("demo: installing scikit-learn and matplotlib if missing (about 80 MB, once)")
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
"""Characters that uv draws its error trees with."""
_REMEDY = "check the network, or set UV_DEFAULT_INDEX to a mirror; later demos need no download"


def _unfetched(cause: str) -> str:
    return f"uv could not download scikit-learn and matplotlib for the demo: {cause}"


def _cause(stderr: str) -> str:
    """Return uv's error and its innermost cause in one line."""
    lines = [line.strip(TREE) for line in stderr.splitlines() if line.strip(TREE)]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")] or lines
    causes = [match[1] for line in lines if (match := re.match(r"(?:cause|Caused by): (.+)", line))]
    return ": ".join([*errors[:1], *causes[-1:]]) or "uv printed no error"


def _environment() -> Mapping[str, str]:
    from ml_intern.execution.process.environment import child_environment, uv_links

    return child_environment(os.environ, uv_links(), sandboxed=False)


async def _next_steps(folder: Path, model: str | None, code: int) -> list[str]:
    """Return the lines printed after the run: the files, the thread, and commands to try next."""
    async with open_store() as store:
        row = await store.threads.latest(str(folder))
    if row is None:
        return []
    thread = row.id[:8]
    lines = [
        f"demo: files in {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}",
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
    """Print nothing."""
