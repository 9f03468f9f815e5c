"""May these plain commands run unasked? Only programs of the table, with its options, on files inside the workspace."""

import posixpath
from collections.abc import Sequence

from ml_intern.safety.shell.options import Arguments, NotReadOnly, Reader, split
from ml_intern.safety.shell.paths import PLAIN_SYSTEM_FILES, Place, is_project_secret
from ml_intern.safety.shell.programs import find_folders
from ml_intern.safety.shell.readers import READERS, SUBCOMMANDS, SYSTEM_FOLDERS
from ml_intern.safety.shell.words import PlainCommand, PlainWord

_GLOB = frozenset("*?[")
_MAX_FOLDERS = 64


def judge_reading(commands: Sequence[PlainCommand], place: Place) -> str:
    """Return "" when all of them only read inside the workspace, else what stands against it.

    `cd` is followed: behind `&&` it has happened, behind anything else it may have.
    """
    after_chain = now = frozenset({place.folder})
    in_pipe = False
    for command in commands:
        if _is_cd(command):
            if in_pipe or command.operator in {"|", "|&"}:
                return "cd within a pipeline"
            if reason := _judge_cd(command, place, now):
                return reason
            moved = frozenset(place.absolute(command.words[1].text, cwd) for cwd in now)
            after_chain, now = after_chain | moved, moved
            if len(after_chain) > _MAX_FOLDERS:
                return "cd too often"
        elif reason := judge_command(command.words, place, now):
            return reason
        if command.operator not in {"&&", "|", "|&"}:
            now = after_chain
        in_pipe = command.operator in {"|", "|&"}
    return ""


def _is_cd(command: PlainCommand) -> bool:
    return command.words[0].text == "cd"


def _judge_cd(command: PlainCommand, place: Place, cwds: frozenset[str]) -> str:
    words = command.words[1:]
    if len(words) != 1 or words[0].text.startswith("-") or words[0].globbed:
        return "cd to a folder that is not named"
    return _judge_path(words[0], place, cwds, names_only=True)


def judge_command(words: Sequence[PlainWord], place: Place, cwds: frozenset[str]) -> str:
    """The same for one command in any of the folders `cwds`."""
    name = _program(words[0])
    reader, arguments = READERS.get(name), words[1:]
    if len(words) > 1 and (subcommand := SUBCOMMANDS.get((name, words[1].text))):
        reader, arguments = subcommand, words[2:]
    if reader is None or words[0].globbed:
        return f"{words[0].text} is not on the list of programs that only read"
    texts = [word.text for word in arguments]
    try:
        found = split(reader, texts)
    except NotReadOnly as reason:
        return f"{name} with {reason}"
    return _judge_operands(reader, found, arguments, (place, cwds)) or _judge_expression(reader, found, texts)


def _program(word: PlainWord) -> str:
    folder, name = posixpath.split(word.text)
    return name if not folder or folder in SYSTEM_FOLDERS else word.text


def _judge_expression(reader: Reader, found: Arguments, texts: Sequence[str]) -> str:
    return reader.check([texts[index] for index in found.operands]) if reader.check else ""


def _judge_operands(
    reader: Reader, found: Arguments, words: Sequence[PlainWord], where: tuple[Place, frozenset[str]]
) -> str:
    operands = [words[index] for index in found.operands]
    if len(operands) > (0 if reader.operands == "none" else reader.most):
        return "an operand too many"
    paths = [PlainWord(path) for path in found.paths]
    if reader.raw and reader.operands == "paths":
        paths += [PlainWord(folder) for folder in find_folders([word.text for word in operands])]
    elif reader.operands == "paths":
        paths += operands
    elif reader.operands == "pattern":
        has_pattern = not reader.pattern_options.isdisjoint(found.options)
        paths += operands[0 if has_pattern else 1 :]
    checked = [*paths, *(word for word in words if word.globbed and word not in paths)]
    reasons = (_judge_path(word, *where, names_only=reader.lists_names) for word in checked)
    return next((reason for reason in reasons if reason), "")


def _judge_path(word: PlainWord, place: Place, cwds: frozenset[str], *, names_only: bool) -> str:
    path = word.text
    if path in {"-", ""}:
        return ""
    if word.home or path.startswith("~"):
        return f"{path} lies in the home folder"
    for cwd in cwds:
        absolute = posixpath.join(cwd, path)
        if absolute in PLAIN_SYSTEM_FILES:
            continue
        targets = _matches(word, place, absolute)
        if targets is None:
            return f"{path} may match an option or leave the workspace"
        if outside := next((one for one in targets if not place.is_inside(one, cwd)), None):
            return f"{outside} lies outside the workspace"
        if not names_only and any(is_project_secret(one) for one in targets):
            return f"{path} usually holds secrets"
    return ""


def _matches(word: PlainWord, place: Place, absolute: str) -> tuple[str, ...] | None:
    """What a word stands for: itself, or the files its pattern matches. None when that cannot be told safely."""
    if not word.globbed:
        return (absolute,)
    first = next(index for index, character in enumerate(absolute) if character in _GLOB or character == "]")
    if ".." in absolute[first:].split("/"):
        return None
    found = place.match(absolute)
    if any(posixpath.basename(one).startswith("-") for one in found) and word.text[:1] in _GLOB:
        return None
    return (absolute[:first], *found)
