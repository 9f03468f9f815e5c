"""The programs that a command ran: those its words name, and those that the kernel reported."""

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ml_intern.evidence.code.extract import runs_python
from ml_intern.safety.shell.invocations import Invocation, parse_command
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.text.word_table import words

_TEXT_TOOLS: Final = words(
    "echo printf cat tee head tail grep egrep fgrep rg sort uniq cut tr sed awk gawk mawk wc ls cd pwd "
    "cp mv rm mkdir rmdir touch ln chmod "
    "find stat file diff cmp test [ true false sleep seq export set unset read date column "
    "paste nl rev tac fold yes source . "
    "jq less more which type du df env for while if do done then else fi"
)
"""Programs that pass text on or write what they are given. What they print is not a measurement."""
_AWKS: Final = frozenset({"awk", "gawk", "mawk"})
_ADDS_UP: Final = re.compile(r"\+\+|\+=")
"""Operators of an awk program that adds up something of the lines that it reads."""
_RUN_OTHERS: Final = words("find sed awk env for while if do then else fi time source . jq less more")
_PLAIN: Final = re.compile(r"[\w./=:,@%+ |;&\n-]*\Z")
_PARTS: Final = re.compile(r"[|;&\n]+")
_MAX_NESTED: Final = 50
"""Most programs that were started by other programs and are read like the words of a command."""


@lru_cache(maxsize=4096)
def programs_of(command: str, folder: Path) -> tuple[Invocation, ...]:
    """Return what a shell command runs, without the tools that only pass text on."""
    if _only_passes_text(command):
        return ()
    parsed = parse_command(command, CommandContext(str(folder), home=str(Path.home()), cwd=str(folder)))
    typed = "<<" in command or any(one.name in ("echo", "printf") for one in parsed.invocations)
    return tuple(one for one in parsed.invocations if one.name and _computes(one, typed=typed))


def _computes(one: Invocation, *, typed: bool) -> bool:
    """Whether a program can measure something. An awk program does if it adds up what the command did not type."""
    if one.name in _AWKS and not typed:
        return any(_ADDS_UP.search(word) for word in one.arguments)
    return one.name not in _TEXT_TOOLS


def _only_passes_text(command: str) -> bool:
    """Whether plain words show that a command runs only tools that pass text on; parsing it takes 50 times as long."""
    if not _PLAIN.match(command):
        return False
    firsts = [part.split()[0] for part in _PARTS.split(command) if part.strip()]
    return all(first in _TEXT_TOOLS and first not in _RUN_OTHERS for first in firsts)


def programs_run(command: str, folder: Path, started: Sequence[Mapping[str, Any]] | None) -> tuple[Invocation, ...]:
    """Return the programs of a command that were started, and the Python programs that these started.

    Without a record (`started` is None), return what the words of the command name.
    """
    named = programs_of(command, folder)
    if started is None:
        return named
    names = {name for one in started for name in (_name(one["path"]), _name((*one["words"], "")[0]))}
    own = tuple(one for one in named if one.name in names)
    known = {(one.name, one.arguments) for one in own}
    nested: list[Invocation] = []
    for one in started:
        if not runs_python(_name(one["path"])) or len(nested) >= _MAX_NESTED:
            continue
        for found in programs_of(shlex.join([one["path"], *one["words"][1:]]), Path(one["folder"])):
            if (found.name, found.arguments) not in known:
                known.add((found.name, found.arguments))
                nested.append(found)
    return (*own, *nested)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
