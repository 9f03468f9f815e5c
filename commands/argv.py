"""Split the command line before Typer sees it: subcommand or prompt, `-r` with or without a value. Pure functions.

Typer can declare neither an optional PROMPT beside subcommands nor an option with an optional value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ml_intern.commands.options import OPTIONS, SWITCHES, OptionSpec
from ml_intern.commands.table import COMMANDS
from ml_intern.configs.errors import UsageError

RUN = "run"
"""The command a prompt belongs to; it has no name on the command line."""
HELP = frozenset({"-h", "--help"})
DOUBLE_DASH = "--"


@dataclass(frozen=True)
class Request:
    """A parsed command line: the command, its arguments, and whether only help or the version is wanted."""

    command: str
    """`run`, or a subcommand with its action: `threads list`."""
    words: tuple[str, ...]
    wants: Literal["", "help", "version"] = ""
    server: str = ""
    """The server whose threads the command uses; "" for those of this machine."""


def split(argv: Sequence[str]) -> Request:
    """Choose the command. Raises UsageError for a word that looks like a misspelled subcommand."""
    words = list(argv)
    server = _take_server(words)
    return replace(_chosen(words), server=server)


def _take_server(words: list[str]) -> str:
    """Remove --server, which every command has, and return its value. Raises UsageError if it is missing."""
    name = OPTIONS["server"].names[0]
    end = words.index(DOUBLE_DASH) if DOUBLE_DASH in words else len(words)
    found = ""
    for place in range(end - 1, -1, -1):
        option, equals, value = words[place].partition("=")
        if option != name:
            continue
        if not equals and (place + 1 >= end or words[place + 1].startswith("-")):
            raise UsageError(f"{name} needs the name of a server", "`ml-intern login --list` shows the names")
        found = found or (value if equals else words[place + 1])
        del words[place : place + 1 + (not equals)]
    return found


def _chosen(words: list[str]) -> Request:
    before = _take_options(words)
    first = words[0] if words and words[0] != DOUBLE_DASH else ""
    if first and not (_sets(before, "print_") or _sets(before, "interactive")):
        if first in COMMANDS:
            return _subcommand(first, before, words[1:])
        _refuse_near_miss(first)
    return _run(before, words)


def _subcommand(name: str, before: list[str], rest: list[str]) -> Request:
    """Read a subcommand. Options given before its name belong to it too; they are placed before a `--`."""
    before = [*before, *_take_options(rest)] if COMMANDS[name].actions and not COMMANDS[name].target else before
    action = rest.pop(0) if rest and rest[0] in COMMANDS[name].actions else ""
    end = rest.index(DOUBLE_DASH) if DOUBLE_DASH in rest else len(rest)
    words = (*rest[:end], *before, *rest[end:])
    wants_help = bool(HELP & {*rest[:end], *before})
    if COMMANDS[name].actions and not COMMANDS[name].target and not action and not wants_help:
        problem = f"{rest[0]!r} is not an action of {name}" if rest else f"{name} needs an action"
        raise UsageError(problem, f"use {' or '.join(f'{name} {known}' for known in COMMANDS[name].actions)}")
    return Request(f"{name} {action}".strip(), words, "help" if wants_help else "")


def _run(before: list[str], rest: list[str]) -> Request:
    options, plain = list(before), list[str]()
    while rest and rest[0] != DOUBLE_DASH:
        plain.append(rest.pop(0))
        options += _take_options(rest)
    plain += rest[1:]
    if len(plain) > 1 and not HELP & set(options):
        raise UsageError(f"the prompt must be one argument, but {len(plain)} were given", "put the prompt in quotes")
    words = (*options, DOUBLE_DASH, *plain) if plain else tuple(options)
    if HELP & set(options):
        return Request(RUN, words, "help")
    return Request(RUN, words, "version" if _sets(options, "version") else "")


def _take_options(words: list[str]) -> list[str]:
    """Remove the leading options with their values from `words` and return them; a bare -r becomes `--resume=`."""
    taken: list[str] = []
    while words and words[0].startswith("-") and words[0] not in ("-", DOUBLE_DASH):
        word = words.pop(0)
        specs, wants_value = read_option(word)
        if not wants_value:
            taken.append(word)
        elif specs[-1] is OPTIONS["resume"]:
            value = words.pop(0) if words and not words[0].startswith("-") else ""
            taken += [f"-{word[1:-1]}"] * (not word.startswith("--") and len(word) > 2) + [f"--resume={value}"]
        else:
            taken += [word, *words[:1]]
            del words[:1]
    return taken


def read_option(word: str) -> tuple[list[OptionSpec], bool]:
    """Return the options one word sets (several for a cluster such as -pq), and whether a value follows."""
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        long = SWITCHES.get(name)
        return ([long], long.takes_value and not equals) if long else ([], False)
    specs: list[OptionSpec] = []
    for position, letter in enumerate(word[1:], start=2):
        spec = SWITCHES.get(f"-{letter}")
        if spec is None:
            break
        specs.append(spec)
        if spec.takes_value:
            return specs, position == len(word)
    return specs, False


def _sets(options: list[str], field: str) -> bool:
    return any(OPTIONS[field] in read_option(word)[0] for word in options if word.startswith("-"))


def _refuse_near_miss(word: str) -> None:
    """Raise UsageError for a word within two typos of a subcommand's name, or one typo of a short name."""
    as_prompt = f'to use it as a prompt: ml-intern -p "{word}"'
    if any(character.isspace() for character in word) or len(word) > 20:
        return
    from rapidfuzz.distance import OSA

    for name in sorted(COMMANDS, key=lambda name: OSA.distance(word.lower(), name)):
        if OSA.distance(word.lower(), name) <= (2 if len(name) > 5 else 1):
            raise UsageError(f"{word!r} is not a subcommand; did you mean {name!r}?", as_prompt)
        return
