"""`improve apply` and `improve undo`: commit the winner's changes to the user's branch, and undo that."""

import asyncio
import sys
from typing import Annotated

import typer

from ml_intern.commands.improve.shown import files_of
from ml_intern.commands.improve.start import Id
from ml_intern.commands.options import Options, takes_options
from ml_intern.commands.output import print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.search.files.applying import apply_commit, check_applied, undo_commit
from ml_intern.search.record import SearchRecord
from ml_intern.search.saved import find_search
from ml_intern.session.opening.options import working_folder
from ml_intern.session.opening.store import open_store
from ml_intern.text.visible import visible

Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Attempt = Annotated[int | None, typer.Option("--attempt", metavar="N", help="another attempt than the winner")]


@takes_options("cd")
def apply(id: Id = "", attempt: Attempt = None, yes: Yes = False, *, options: Options) -> int:
    """Commit the changes of the winner to your branch, after a yes."""
    record = asyncio.run(_record(id, options))
    number = attempt if attempt is not None else (record.conclusion.winner if record.conclusion else None)
    if number is None:
        raise UsageError("the search has no winner", "name an attempt with --attempt N to apply it nevertheless")
    if number not in range(1, len(record.tree.attempts)) or not record.tree[number].commit:
        raise UsageError(f"there is no attempt {number} with a commit", "`ml-intern improve tree` shows them")
    chosen, files = record.tree[number], files_of(record)
    changes = files.diff(record.tree.baseline.commit, chosen.commit, "--stat")
    if not yes:
        print(visible(f"{changes}\nattempt {number}: {chosen.idea}"))
        _ask(f"Commit these changes in {record.plan.folder}? [y/N] ")
    return print_lines(apply_commit(files, record.tree.baseline.commit, chosen))


@takes_options("cd")
def undo(id: Id = "", yes: Yes = False, *, options: Options) -> int:
    """Undo an apply: the branch and the files are as they were before it."""
    record = asyncio.run(_record(id, options))
    check_applied(files_of(record))
    if not yes:
        _ask(f"Undo the changes of the search {record.search_id} in {record.plan.folder}? [y/N] ")
    return print_lines(undo_commit(files_of(record)))


def _ask(question: str) -> None:
    """Ask for a yes. Raises UsageError without one."""
    if not sys.stdin.isatty():
        raise UsageError("this needs your yes", "run it on a terminal, or add --yes")
    if input(question).strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed")


async def _record(id: str, options: Options) -> SearchRecord:
    async with open_store() as store:
        return await (await find_search(store, id, str(working_folder(options.request())))).load()
