"""Splits the command line before Typer sees it: subcommand or prompt, `-r` with or without a value. Pure functions.

Typer can declare neither an optional PROMPT beside subcommands nor an option whose value may be left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    """What the command line asks for: a command, its words, and whether only help or the version is wanted."""

    command: str
    """`run`, or a subcommand with its action: `threads list`."""
    words: tuple[str, ...]
    wants: Literal["", "help", "version"] = ""


def split(argv: Sequence[str]) -> Request:
    """Decide what is asked for. UsageError when one word is close to a subcommand's name but is not it."""
    words = list(argv)
    before = _take_options(words)
    first = words[0] if words and words[0] != DOUBLE_DASH else ""
    if first and not _sets(before, "print_"):
        if first in COMMANDS:
            return _subcommand(first, before, words[1:])
        _refuse_near_miss(first)
    return _run(before, words)


def _subcommand(name: str, before: list[str], rest: list[str]) -> Request:
    """Options given before the name belong to the subcommand too; they go before a `--`."""
    before = [*before, *_take_options(rest)] if COMMANDS[name].actions else before
    action = rest.pop(0) if rest and rest[0] in COMMANDS[name].actions else ""
    end = rest.index(DOUBLE_DASH) if DOUBLE_DASH in rest else len(rest)
    words = (*rest[:end], *before, *rest[end:])
    wants_help = bool(HELP & {*rest[:end], *before})
    if COMMANDS[name].actions and not action and not wants_help:
        said = f"{name} has no {rest[0]!r}" if rest else f"{name} alone does nothing"
        raise UsageError(said, f"say {' or '.join(f'{name} {known}' for known in COMMANDS[name].actions)}")
    return Request(f"{name} {action}".strip(), words, "help" if wants_help else "")


def _run(before: list[str], rest: list[str]) -> Request:
    options, plain = list(before), list[str]()
    while rest and rest[0] != DOUBLE_DASH:
        plain.append(rest.pop(0))
        options += _take_options(rest)
    plain += rest[1:]
    if len(plain) > 1 and not HELP & set(options):
        raise UsageError(f"the prompt is one argument, got {len(plain)} words", "put it in quotes")
    words = (*options, DOUBLE_DASH, *plain) if plain else tuple(options)
    if HELP & set(options):
        return Request(RUN, words, "help")
    return Request(RUN, words, "version" if _sets(options, "version") else "")


def _take_options(words: list[str]) -> list[str]:
    """Take the leading options with their values off `words`; a bare -r becomes `--resume=`."""
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
    """The options that one word sets (several in a cluster such as -pq), and whether the next word is a value."""
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
    """Two slips are a near miss, one where the name is short. A sentence is never one."""
    as_prompt = f'as a prompt: ml-intern -p "{word}"'
    if any(character.isspace() for character in word) or len(word) > 20:
        return
    from rapidfuzz.distance import OSA

    for name in sorted(COMMANDS, key=lambda name: OSA.distance(word.lower(), name)):
        if OSA.distance(word.lower(), name) <= (2 if len(name) > 5 else 1):
            raise UsageError(f"{word!r} is no subcommand; did you mean {name!r}?", as_prompt)
        return
