"""`trust`: decide about a folder without a question, for scripts and CI."""

from pathlib import Path
from typing import Annotated

import typer

from ml_intern.commands.output import Json, columns, print_json, print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.configs.trust import decide, decided_folders, folder_settings, forget

STATES = {True: "trusted", False: "not trusted", None: "settings or advice changed since the decision"}

Folder = Annotated[str, typer.Argument(metavar="DIR", help="the folder (default: the current one)")]
Revoke = Annotated[bool, typer.Option("--revoke", help="forget the decision about the folder")]
List = Annotated[bool, typer.Option("--list", help="list the folders with a saved decision")]


def trust(folder: Folder = ".", revoke: Revoke = False, list_: List = False, json: Json = False) -> int:
    """Trust a folder as it is now: its settings, MCP servers, addresses in .env, AGENTS.md and skills are used.

    Read them first: settings can start programs, allow commands and send your keys elsewhere.
    """
    if list_:
        return _print_folders(json=json)
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UsageError(f"folder {folder} does not exist")
    path = path.resolve()
    return _revoke(path, json=json) if revoke else _trust(path, json=json)


def _trust(folder: Path, *, json: bool) -> int:
    decide(folder, trusted=True)
    things = folder_settings(folder).things
    if json:
        return print_json({"folder": str(folder), "state": "trusted", "things": list(things)})
    return print_lines([f"trusted: {folder}", *(f"  {thing}" for thing in things)])


def _revoke(folder: Path, *, json: bool) -> int:
    known = forget(folder)
    if json:
        return print_json({"folder": str(folder), "state": "undecided", "changed": known})
    return print_lines([f"no longer trusted: {folder}" if known else f"no decision is saved for {folder}"])


def _print_folders(*, json: bool) -> int:
    found = decided_folders()
    if json:
        return print_json([{"folder": name, "state": STATES[state]} for name, state in found.items()])
    rows = [(STATES[state], name) for name, state in found.items()]
    return print_lines(columns([("STATE", "FOLDER"), *rows]) if rows else ["no decisions saved"])
