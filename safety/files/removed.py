"""The paths that a parsed shell command would remove or move away."""

from collections.abc import Iterator

from ml_intern.safety.files.git_writes import subcommand
from ml_intern.safety.files.written import REMOVERS, expanded_paths
from ml_intern.safety.shell.invocations import Invocation, ParsedCommand
from ml_intern.text.word_table import words

_MOVERS = words("mv rename")
_GIT = (("rm",), ("mv",), ("submodule", "deinit"), ("worktree", "remove"), ("worktree", "move"))


def removed_paths(parsed: ParsedCommand) -> tuple[str, ...]:
    """Return the absolute paths that the command names to remove or to move, wildcards included."""
    found = (
        path
        for one in parsed.invocations
        for word in _operands(one)
        for path in expanded_paths(word, one, parsed.context)
    )
    return tuple(dict.fromkeys(found))


def _operands(one: Invocation) -> Iterator[str]:
    if one.name in REMOVERS | _MOVERS:
        yield from one.operands
    elif one.name == "git":
        rest = subcommand(one.arguments)
        if any(rest[: len(verb)] == verb for verb in _GIT):
            yield from (word for word in rest if not word.startswith("-"))
