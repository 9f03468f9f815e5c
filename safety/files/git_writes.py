"""The settings and files that a git command changes: keys that name programs, templates, output files."""

from collections.abc import Iterator, Sequence

from ml_intern.safety.files.git_settings import HARMLESS_KEYS
from ml_intern.safety.files.protected import Control
from ml_intern.safety.shell.invocations import Invocation
from ml_intern.text.word_table import words as table

_VALUED = table("-C -c --git-dir --work-tree --namespace --super-prefix --config-env")
_READS = table("--get --get-all --get-regexp --get-urlmatch --get-color --get-colorbool -l --list get list")
_VERBS = table("set unset edit rename-section remove-section")
_WRITERS = table("checkout restore mv clone init worktree checkout-index bundle archive")
_WHY = "it would make git run a program, also in your next `git status`"


def subcommand(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return git's subcommand and what follows it, without git's own options."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if arguments[at] in _VALUED else 1
    return tuple(arguments[at:])


def git_targets(one: Invocation) -> Iterator[Control]:
    """Yield the settings that a git command would change and that make git run programs."""
    words = subcommand(one.arguments)
    if words[:1] == ("config",):
        yield from _config(words[1:])
    elif words[:1] in {("clone",), ("init",), ("submodule",)}:
        yield from _template(words)


def written_operands(one: Invocation) -> tuple[str, ...]:
    """Return the operands of a git command that name files it writes."""
    words = subcommand(one.arguments)
    if not words or words[0] not in _WRITERS:
        return ()
    return tuple(word for word in words[1:] if not word.startswith("-") and "://" not in word)


def config_file(one: Invocation) -> str:
    """Return the file that `git config` changes if it is named, else ""."""
    words = subcommand(one.arguments)
    if words[:1] != ("config",) or not _READS.isdisjoint(words):
        return ""
    for at, word in enumerate(words):
        if word.startswith("--file="):
            return word.partition("=")[2]
        if word in {"-f", "--file"} and at + 1 < len(words):
            return words[at + 1]
    return ""


def _config(words: Sequence[str]) -> Iterator[Control]:
    if not _READS.isdisjoint(words):
        return
    operands = _operands(words)
    is_edit = "-e" in words or "--edit" in words or operands[:1] == ["edit"]
    removes = any(word.startswith(("--unset", "--rename", "--remove")) for word in words)
    has_verb = removes or not _VERBS.isdisjoint(operands[:1])
    keys = operands[1:] if operands[:1] and operands[0] in _VERBS else operands
    if is_edit or (len(keys) < 2 and not has_verb):
        return
    value = keys[1] if len(keys) > 1 else ""
    key = keys[0] if keys else ""
    is_alias = key.lower().startswith("alias.") and not value.startswith("!") and not has_verb
    if key and not is_alias and not HARMLESS_KEYS.fullmatch(key):
        yield Control("git", f"git config {key}", _WHY)


def _operands(words: Sequence[str]) -> list[str]:
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in {"-f", "--file", "--type", "--blob", "--comment", "--default", "--value", "--url"}:
            skip = True
        elif not word.startswith("-") or found:
            found.append(word)
    return found


def _template(words: Sequence[str]) -> Iterator[Control]:
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if word.startswith("--template=") and word != "--template=":
            yield Control("git", word, "it would install the hooks and settings of the template")
        elif word == "--template" and following:
            yield Control("git", f"--template {following}", "it would install the hooks and settings of the template")
        setting = following if word in {"-c", "--config"} else word.removeprefix("--config=")
        if setting not in {"", word} and not HARMLESS_KEYS.fullmatch(setting.partition("=")[0]):
            yield Control("git", f"git {words[0]} -c {setting}", _WHY)
