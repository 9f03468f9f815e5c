"""`memory list`, `edit` and `forget`: what was learned about a folder."""

import os
import shlex
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ml_intern.commands.options import Options, takes_options
from ml_intern.commands.output import Json, print_json, print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.configs.memory.facts import facts_in
from ml_intern.configs.memory.file import create_memory, forget, read_memory
from ml_intern.session.opening.options import working_folder
from ml_intern.terminal.slash.memory import fact_lines

Number = Annotated[int, typer.Argument(metavar="N", help="number of the fact in `ml-intern memory list`")]


@takes_options("cd")
def list_facts(options: Options, json: Json = False) -> int:
    """List what was learned about this folder, with dates and sources."""
    facts = facts_in(read_memory(_folder(options)))
    if json:
        return print_json([{"number": number, **asdict(fact)} for number, fact in facts.items()])
    return print_lines(fact_lines(facts))


@takes_options("cd")
def edit_facts(options: Options) -> int:
    """Open the file with what was learned about this folder in $VISUAL or $EDITOR."""
    path, editor = create_memory(_folder(options)), os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UsageError("no editor is set", f"set EDITOR, or open {path}")
    try:
        return subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
    except OSError as error:
        raise UsageError(f"{editor} cannot be started: {error.strerror}", f"set EDITOR, or open {path}") from error


@takes_options("cd")
def forget_fact(options: Options, number: Number, json: Json = False) -> int:
    """Remove a fact from what was learned about this folder."""
    fact = forget(_folder(options), number)
    if json:
        return print_json({"number": number, **asdict(fact)})
    return print_lines([f"forgotten: {fact.text}"])


def _folder(options: Options) -> Path:
    return working_folder(options.request())
