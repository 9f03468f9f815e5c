"""`evidence`: show the evidence of a thread, or check the statement beside an artifact."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.output import Json, print_json, print_lines
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import UsageError
from ml_intern.terminal.render.evidence import check_lines, whole_card

if TYPE_CHECKING:
    from ml_intern.session.protocol import StatementCheck

CHECK = "check"


def evidence(
    words: Annotated[
        list[str], typer.Argument(metavar="THREAD | check FILE", help="a thread by id, unique id prefix or title")
    ],
    root: Annotated[
        str | None, typer.Option("--root", metavar="DIR", help="with check: the folder that has the files")
    ] = None,
    json: Json = False,
) -> int:
    """Show every claim of a thread with its state, its locked files, what ran, and what is incomplete.

    `check FILE` compares the files that a statement names with those here, and computes its numbers again in a
    read-only sandbox if the artifact, the evaluator and the test data are here. It exits with 0 if everything that is
    here agrees, 4 if something changed, 1 if the artifact is missing, and 2 if FILE is not a statement.
    """
    if words[0] == CHECK and len(words) == 2:
        return _check(words[1], root, json=json)
    if len(words) != 1 or root is not None:
        raise UsageError("evidence takes one thread, or check and one file", "see `ml-intern evidence --help`")
    card = asyncio.run(_card(words[0]))
    return print_json(card) if json else print_lines(whole_card(card))


async def _card(thread: str) -> Mapping[str, Any]:
    async with threads_of_user() as threads, threads.read(thread) as found:
        return await found.evidence()


def _check(file: str, root: str | None, *, json: bool) -> int:
    check = asyncio.run(_checked(file, root))
    data = check.as_data()
    print_json(data) if json else print_lines(check_lines(data))
    return check.exit_code


async def _checked(file: str, root: str | None) -> "StatementCheck":
    async with threads_of_user() as threads:
        return await threads.check_evidence(file, root)
