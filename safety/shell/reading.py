"""The check of read-only commands: only listed programs and options, on files in the workspace."""

import posixpath
import re
from collections.abc import Iterator, Sequence

from ml_intern.safety.files.reached import is_tree_search, reached_secret
from ml_intern.safety.shell.options import Arguments, NotReadOnly, ReadOnly, split
from ml_intern.safety.shell.paths import PLAIN_SYSTEM_FILES, CommandContext, is_project_secret
from ml_intern.safety.shell.programs import find_folders
from ml_intern.safety.shell.readers import READ_ONLY_PROGRAMS, SUBCOMMANDS, SYSTEM_FOLDERS
from ml_intern.safety.shell.words import PlainCommand, PlainWord

_GLOB = frozenset("*?[")
_MAX_FOLDERS = 64
_PUBLIC_CACHE = re.compile(r"~/\.cache/(?:huggingface|torch|uv|pip|matplotlib|triton)(?:/(?!\.\.)[\w.-]+)*/?")
"""Folders in the home of which names and sizes may be shown."""
_SHOWN_VARIABLE = re.compile(r"(?!.*(?:TOKEN|KEY|SECRET|PASS|PWD|AUTH|CRED))[A-Z_]{3,40}", re.IGNORECASE)


def find_reading_problem(commands: Sequence[PlainCommand], context: CommandContext) -> str:
    """Return "" if all commands only read in the workspace, else the problem.

    `cd` is followed: after `&&` it was successful, after other operators it may have failed.
    """
    after_chain = now = frozenset({context.folder})
    in_pipe = False
    for command in _without_listings(commands):
        if _is_cd(command):
            if in_pipe or command.operator in {"|", "|&"}:
                return "cd in a pipeline"
            if reason := _judge_cd(command, context, now):
                return reason
            moved = frozenset(context.absolute(command.words[1].text, cwd) for cwd in now)
            after_chain, now = after_chain | moved, moved
            if len(after_chain) > _MAX_FOLDERS:
                return "too many cd commands"
        elif reason := find_command_problem(command.words, context, now):
            return reason
        if command.operator not in {"&&", "|", "|&"}:
            now = after_chain
        in_pipe = command.operator in {"|", "|&"}
    return ""


def _without_listings(commands: Sequence[PlainCommand]) -> Iterator[PlainCommand]:
    """Leave out listings of the environment of which only names are shown that are not those of secrets."""
    for at, command in enumerate(commands):
        if command.operator != "|" or not _shows_variables(command, commands[at + 1 : at + 2]):
            yield command


def _shows_variables(command: PlainCommand, following: Sequence[PlainCommand]) -> bool:
    """Return whether a listing of the environment is only searched for a name, as in env | grep CUDA."""
    texts = [word.text for one in following for word in one.words]
    is_listing = [word.text for word in command.words] in (["env"], ["printenv"])
    is_search = len(texts) >= 2 and texts[0] in {"grep", "rg", "egrep"} and texts[1:-1] in ([], ["-i"])
    return is_listing and is_search and _SHOWN_VARIABLE.fullmatch(texts[-1]) is not None


def _is_cd(command: PlainCommand) -> bool:
    return command.words[0].text == "cd"


def _judge_cd(command: PlainCommand, context: CommandContext, cwds: frozenset[str]) -> str:
    words = command.words[1:]
    if len(words) != 1 or words[0].text.startswith("-") or words[0].globbed:
        return "cd to a folder that is not a literal path"
    return _judge_path(words[0], context, cwds, names_only=True)


def find_command_problem(words: Sequence[PlainWord], context: CommandContext, cwds: frozenset[str]) -> str:
    """Return "" if one command only reads in the workspace from any of the folders `cwds`, else the problem."""
    name = _program(words[0])
    program, arguments = READ_ONLY_PROGRAMS.get(name), words[1:]
    if len(words) > 1 and (subcommand := SUBCOMMANDS.get((name, words[1].text))):
        program, arguments = subcommand, words[2:]
    if program is None or words[0].globbed:
        return f"{words[0].text} can change files, start programs or use the network"
    texts = [word.text for word in arguments]
    try:
        found = split(program, texts)
    except NotReadOnly as reason:
        if program.needs_option:
            return f"{name} can run code, change files or use the network"
        return f"{name} with {reason} can do more than read"
    return (
        _judge_operands(program, found, arguments, (context, cwds))
        or _judge_expression(program, found, texts)
        or _judge_tree(name, found, texts, (context, cwds))
    )


def _judge_tree(name: str, found: Arguments, texts: Sequence[str], where: tuple[CommandContext, frozenset[str]]) -> str:
    """Judge a search through folders by the files that it would reach."""
    if not is_tree_search(name, found.options):
        return ""
    context, cwds = where
    first = 0 if {"e", "f", "regexp", "file", "files"} & {*found.options} else 1
    folders = [texts[index] for index in found.operands][first:] or ["."]
    for folder in {context.absolute(folder, cwd) for folder in folders for cwd in cwds}:
        if reason := reached_secret(name, folder, texts, context):
            return reason
    return ""


def _program(word: PlainWord) -> str:
    folder, name = posixpath.split(word.text)
    return name if not folder or folder in SYSTEM_FOLDERS else word.text


def _judge_expression(program: ReadOnly, found: Arguments, texts: Sequence[str]) -> str:
    return program.check([texts[index] for index in found.operands]) if program.check else ""


def _judge_operands(
    program: ReadOnly, found: Arguments, words: Sequence[PlainWord], where: tuple[CommandContext, frozenset[str]]
) -> str:
    operands = [words[index] for index in found.operands]
    if len(operands) > (0 if program.operands == "none" else program.max_operands):
        return "too many operands"
    paths = [PlainWord(path) for path in found.paths]
    if program.raw and program.operands == "paths":
        paths += [PlainWord(folder) for folder in find_folders([word.text for word in operands])]
    elif program.operands == "paths":
        paths += operands
    elif program.operands == "pattern":
        has_pattern = not program.pattern_options.isdisjoint(found.options)
        paths += operands[0 if has_pattern else 1 :]
    if program.caches:
        paths = [word for word in paths if word.globbed or not _PUBLIC_CACHE.fullmatch(word.text)]
    checked = [*paths, *(word for word in words if word.globbed and word not in paths)]
    reasons = (_judge_path(word, *where, names_only=program.lists_names) for word in checked)
    return next((reason for reason in reasons if reason), "")


def _judge_path(word: PlainWord, context: CommandContext, cwds: frozenset[str], *, names_only: bool) -> str:
    path = word.text
    if path in {"-", ""}:
        return ""
    if word.home or path.startswith("~"):
        return f"{path} is in the home folder"
    for cwd in cwds:
        absolute = posixpath.join(cwd, path)
        if absolute in PLAIN_SYSTEM_FILES:
            continue
        targets = _matches(word, context, absolute)
        if targets is None:
            return f"{path} may match an option or a path outside the workspace"
        if outside := next((one for one in targets if not context.is_inside(one, cwd)), None):
            return f"{outside} is outside the workspace"
        if not names_only and any(is_project_secret(one) for one in targets):
            return f"{path} usually contains secrets"
    return ""


def _matches(word: PlainWord, context: CommandContext, absolute: str) -> tuple[str, ...] | None:
    """Return the paths that a word refers to, with wildcards expanded, or None if they cannot be determined safely."""
    if not word.globbed:
        return (absolute,)
    first = next(index for index, character in enumerate(absolute) if character in _GLOB or character == "]")
    if ".." in absolute[first:].split("/"):
        return None
    found = context.match(absolute)
    if any(posixpath.basename(one).startswith("-") for one in found) and word.text[:1] in _GLOB:
        return None
    return (absolute[:first], *found)
