"""`backup`, `restore` and `doctor --repair`: copies of the thread database, and what can be saved of a damaged one."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.config import known_paths
from ml_intern.commands.output import Json, columns, local_time, print_json, print_lines, size
from ml_intern.configs.errors import TemporaryError, UsageError
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from ml_intern.store.recovery.repair import Repaired

LATEST = "latest"


def backup(
    target: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="a new file; without it, in the folder of backups")
    ] = None,
    json: Json = False,
) -> int:
    """Copy the thread database, also while ml-intern is running."""
    path = known_paths()["threads"]
    if not path.exists():
        raise UsageError("there is no thread database yet", "start a thread first")
    copy = _copy(path, Path(target).expanduser().absolute()) if target else _automatic(path)
    if json:
        return print_json({"file": str(copy), "bytes": copy.stat().st_size})
    return print_lines([f"copied the database to {copy} ({size(copy.stat().st_size)})"])


def _copy(path: Path, target: Path) -> Path:
    from ml_intern.store.recovery.backups import copy_to

    copy_to(path, target)
    return target


def _automatic(path: Path) -> Path:
    from ml_intern.store.recovery.backups import make_backup

    copy = make_backup(path, _kept())
    if copy is None:
        raise TemporaryError("another process is making a backup", "try again")
    return copy


def _kept() -> int:
    from ml_intern.session.opening.options import load_settings
    from ml_intern.session.opening.request import SessionRequest

    return load_settings(SessionRequest(), Path.cwd()).settings.backup.keep


def restore(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help=f"a file, the name of a backup, or {LATEST}; without it, list them"),
    ] = None,
    json: Json = False,
) -> int:
    """Replace the thread database by a backup. The old database is saved beside it."""
    from ml_intern.store.recovery.backups import backup_folder, list_backups
    from ml_intern.store.recovery.repair import restore as restore_from

    path = known_paths()["threads"]
    found = list_backups(path)
    if source is None:
        return _list(found, json=json)
    if source == LATEST and not found:
        raise UsageError("there are no backups", "name a file")
    named = backup_folder(path) / source
    file = found[0] if source == LATEST else named if named.is_file() else Path(source).expanduser().absolute()
    done = asyncio.run(restore_from(path, file))
    return _show("restored", done, json=json)


def _list(found: list[Path], *, json: bool) -> int:
    rows = [(file.name, file.stat().st_size, file.stat().st_mtime) for file in found]
    if json:
        return print_json([{"name": name, "bytes": count, "made": made} for name, count, made in rows])
    if not rows:
        return print_lines(["no backups yet"])
    return print_lines(columns([("NAME", "SIZE", "MADE"), *((n, size(c), local_time(m)) for n, c, m in rows)]))


def repair_database(*, json: bool) -> int:
    """Repair the thread database and say what was done."""
    from ml_intern.store.recovery.repair import repair

    done = asyncio.run(repair(known_paths()["threads"]))
    if done is None:
        return print_json({"repaired": False}) if json else print_lines(["the database is sound"])
    return _show("repaired", done, json=json)


def _show(what: str, done: "Repaired", *, json: bool) -> int:
    cuts = [{"thread": cut.thread_id, "lost": cut.lost, "ends": cut.last} for cut in done.cuts]
    if json:
        old, backup = (str(file) if file else None for file in (done.old, done.backup))
        fields = {"old": old, "backup": backup, "incomplete": done.incomplete, "cuts": cuts, "threads": done.threads}
        return print_json({what: True, **fields})
    return print_lines(_lines(what, done))


def _lines(what: str, done: "Repaired") -> list[str]:
    lines = [f"{what} the database; it has {plural(done.threads, 'thread')}"]
    lines += [f"the old one is {done.old}"] if done.old else []
    if done.backup:
        lines.append(f"{'it is' if done.is_backup else 'used'} the backup {done.backup.name}")
    lines += [f"could not be read in full: {', '.join(done.incomplete)}"] if done.incomplete else []
    for cut in done.cuts:
        end = (
            f"ends at {local_time(cut.last)} now; look at its folder before you continue it" if cut.last else "is lost"
        )
        lines.append(f"thread {cut.thread_id[:8]} {end}")
    return lines
