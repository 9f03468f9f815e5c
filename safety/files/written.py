"""The paths that a parsed shell command would write, and the control files among them.

What a program writes comes from a table of its operands and options; an unknown program that names one of git's control
files is asked about.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatch

from ml_intern.safety.files.git_writes import config_file, git_targets, written_operands
from ml_intern.safety.files.inline_code import code_targets
from ml_intern.safety.files.protected import Control, Place, find_control
from ml_intern.safety.files.unpacked import archive_targets, is_archiver
from ml_intern.safety.shell.credentials import expand_word, tests_of
from ml_intern.safety.shell.invocations import INTERPRETERS, SHELLS, Invocation, ParsedCommand, resolve_paths
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.safety.shell.programs import find_folders
from ml_intern.safety.shell.readers import READ_ONLY_PROGRAMS
from ml_intern.text.word_table import words

_ALL_OPERANDS = words(
    "tee touch truncate mkdir mkfifo mknod ln mv rename ren chmod chown chgrp setfacl chattr ed ex vi vim nvim nano "
    "emacs micro patch split csplit sponge fallocate mktemp link mount"
)
REMOVERS = words("rm rmdir unlink shred srm trash wipe")
_COPIERS = words("cp install rsync scp gcp ditto robocopy")
_DOWNLOADERS = words("curl wget wget2 aria2c axel lftp http xh")
_IN_PLACE = words("sed gsed perl ruby awk gawk yq jq sd rpl")
_SILENT = words("echo printf : true false basename dirname test [ cd pushd popd which type alias export unset set")
_OUTPUT_OPTION = re.compile(
    r"-o|-out|-O|--out(?:put|file|-file|put-file|put-dir|put-document|dir|-dir)?|--local-dir|--target(?:-dir|-directory)?|"
    r"--dest(?:dir|ination)?|--directory|--directory-prefix|--prefix|--log-file|--save(?:-dir|-as)?|--dump-header|"
    r"--cookie-jar|--trace(?:-ascii)?|--etag-save|--stderr|--report|--junit-xml|--result-log|--separate-git-dir"
)
_UNKNOWN = re.compile(r"\$(?:\([^)]*\)|\{[^}]*\}|\w+|[@*#?])")
_HOOK = re.compile(
    r"/hooks/(?:(?:pre|post)-[a-z-]+|applypatch-msg|commit-msg|prepare-commit-msg|update|fsmonitor-watchman|"
    r"reference-transaction|push-to-checkout|sendemail-validate|p4-[a-z-]+)\Z"
)
_SED_WRITES = re.compile(r"(?:^|[;{/\s\dgpIM])w\s+([^\s;}]+)")
_INSTALLERS: dict[tuple[str, str], str] = {
    ("pre-commit", "install"): "it installs git hooks",
    ("husky", "install"): "it installs git hooks",
    ("husky", "init"): "it installs git hooks",
    ("lefthook", "install"): "it installs git hooks",
    ("nbdime", "config-git"): "it changes how git runs diff and merge",
    ("nbstripout", "--install"): "it makes git run a filter",
    ("git", "lfs install"): "it makes git run a filter",
    ("direnv", "allow"): "your shell runs .envrc from then on",
    ("mise", "trust"): "your shell runs mise.toml from then on",
    ("dvc", "install"): "it installs git hooks",
}
_CONTENT_SUFFIXES = (".ipynb",)
"""Files of which only a part controls other programs; a copy of one changes nothing."""


def find_controls(parsed: ParsedCommand) -> tuple[Control, ...]:
    """Return the control files that a command would change, git's first. Wildcards and links are followed."""
    place = place_of(parsed.context)
    found = {control: None for one in parsed.invocations for control in _controls_of(one, parsed, place)}
    return tuple(sorted(found, key=lambda control: control.kind != "git"))


def place_of(context: CommandContext) -> Place:
    """Return the folders in which the paths of a command are judged."""
    return Place(context.workspace, context.add_dirs, context.files)


def _controls_of(one: Invocation, parsed: ParsedCommand, place: Place) -> Iterator[Control]:
    if why := _installer(one):
        yield Control("program", f"{one.name} {' '.join(one.arguments[:2])}", why)
    yield from _judge_all(written_words(one, parsed), one, parsed.context, place)
    yield from _git_controls(one, parsed.context, place)
    if one.name in REMOVERS:
        removed = _judge_all(one.operands, one, parsed.context, place)
        yield from (control for control in removed if control.kind == "git")
    elif not _is_reader(one):
        named = _judge_all(_other_words(one), one, parsed.context, place)
        changes = (control for control in named if control.kind == "git")
        yield from (Control("program", each.path, f"{one.name} may change it, and {each.why}") for each in changes)


def _git_controls(one: Invocation, context: CommandContext, place: Place) -> Iterator[Control]:
    if one.name == "git":
        yield from git_targets(one)
        in_file = _judge_all(filter(None, (config_file(one),)), one, context, place)
        yield from (control for control in in_file if control.kind == "program")


def _judge_all(texts: Iterable[str], one: Invocation, context: CommandContext, place: Place) -> Iterator[Control]:
    for text in texts:
        yield from _judge(text, one, context, place)


def _judge(word: str, one: Invocation, context: CommandContext, place: Place) -> Iterator[Control]:
    if _UNKNOWN.search(word) and _HOOK.search(word):
        yield Control("program", word, "it has the name of a git hook, which git would run")
    for path in expanded_paths(word, one, context):
        if control := find_control(path, place):
            yield control


def expanded_paths(word: str, one: Invocation, context: CommandContext) -> Iterator[str]:
    """Yield the absolute paths that a word of an invocation may name, and the files that match its wildcards."""
    for text in expand_word(word, context):
        for path in resolve_paths(one, text, context):
            yield path
            if not {"*", "?", "["}.isdisjoint(path):
                yield from context.match(path)


def _installer(one: Invocation) -> str:
    line = " ".join(one.arguments)
    return next((why for (name, rest), why in _INSTALLERS.items() if one.name == name and line.startswith(rest)), "")


def _is_reader(one: Invocation) -> bool:
    known = READ_ONLY_PROGRAMS.get(one.name)
    return (
        one.name in _SILENT | {"git", "find", "xargs", "dd"} | _COPIERS
        or is_archiver(one)
        or bool(known and not known.needs_option)
    )


def _other_words(one: Invocation) -> Iterator[str]:
    if one.name.rstrip("0123456789.") in INTERPRETERS and one.code:
        return
    is_shell = one.name in SHELLS | {"eval", "su", "watch", "parallel", "trap"}
    named = (word for word in one.arguments[:64] if not word.startswith("-") and "://" not in word)
    yield from (word for word in named if not (is_shell and " " in word))


def written_words(one: Invocation, parsed: ParsedCommand) -> Iterator[str]:
    """Yield the words that name what an invocation writes, not yet resolved."""
    yield from (each.target.text for each in one.command.redirects if ">" in each.operator and each.target.text)
    yield from _output_options(one.arguments)
    for names, finder in _FINDERS:
        if one.name in names:
            yield from finder(one, parsed)
    yield from archive_targets(one, parsed.context)
    piped = (" ".join(each.arguments) for each in parsed.upstream(one) if each.name in {"echo", "printf"})
    yield from code_targets(one, "\n".join(piped))


def _operands(one: Invocation, parsed: ParsedCommand) -> Iterator[str]:
    is_copy = one.name in {"mv", "ln"} and all(word.endswith(_CONTENT_SUFFIXES) for word in one.operands)
    yield from () if is_copy else one.operands
    yield from _piped_operands(one, parsed)


def _output_options(arguments: Sequence[str]) -> Iterator[str]:
    for index, word in enumerate(arguments):
        name, sign, value = word.partition("=")
        if sign and _OUTPUT_OPTION.fullmatch(name):
            yield value
        elif _OUTPUT_OPTION.fullmatch(word) and index + 1 < len(arguments):
            yield arguments[index + 1]
        elif re.match(r"-[oOt][./~\w]", word):
            yield word[2:]


def _copied(one: Invocation, parsed: ParsedCommand) -> Iterator[str]:
    yield from _piped_operands(one, parsed)
    folder = _value_of(one, "t", "target-directory")
    operands = [word for word in one.operands if word != folder]
    target, sources = (folder, operands) if folder else (operands[-1] if operands else "", operands[:-1])
    if not target:
        return
    if not any(target.endswith(end) and source.endswith(end) for end in _CONTENT_SUFFIXES for source in sources):
        yield target
    if not folder and len(sources) == 1 and "." in posixpath.basename(target).strip("."):
        return  # a copy of one file to a file
    names = (posixpath.basename(source.rstrip("/")) for source in sources)
    yield from (posixpath.join(target, name) for name in names if name and not name.endswith(_CONTENT_SUFFIXES))
    yield from (posixpath.join(target, path) for source in sources for path in _git_contents(source, one, parsed))


def _git_contents(source: str, one: Invocation, parsed: ParsedCommand) -> Iterator[str]:
    """Yield the files of a repository that a copy of a folder's contents, such as `cp -a x/. y`, would bring."""
    if not source.endswith(("/", "/.", "/*")):
        return
    folder = source.rstrip("*.") or "/"
    for absolute in {
        path for text in expand_word(folder, parsed.context) for path in resolve_paths(one, text, parsed.context)
    }:
        yield from (path for path in parsed.context.files.below(absolute) or () if path.startswith(".git/"))


def _value_of(one: Invocation, letter: str, name: str) -> str:
    for index, word in enumerate(one.arguments):
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
        if word == f"--{name}" or re.fullmatch(rf"-[a-zA-Z]*{letter}", word):
            return one.arguments[index + 1] if index + 1 < len(one.arguments) else ""
    return ""


def _piped_operands(one: Invocation, parsed: ParsedCommand) -> Iterator[str]:
    """Yield the operands that xargs gets from an earlier command of the pipeline."""
    for source in parsed.upstream(one) if "xargs" in one.wrappers else ():
        if source.name in {"echo", "printf"}:
            yield from (part for word in source.arguments for part in word.split())
        elif source.name == "find":
            yield from found_files(source, parsed.context)


def _downloaded(one: Invocation, _parsed: ParsedCommand) -> Iterator[str]:
    folder = _value_of(one, "P", "directory-prefix") or _value_of(one, "\0", "output-dir")
    for word in one.arguments:
        if "://" in word:
            yield posixpath.join(folder, posixpath.basename(re.split(r"[?#]", word)[0]))
        elif not word.startswith("-"):
            yield word


def _edited(one: Invocation, _parsed: ParsedCommand) -> Iterator[str]:
    if one.has("i", "in-place", "inplace") or "inplace" in one.arguments:
        yield from one.operands
    if one.name in {"sed", "gsed"}:
        yield from (path for word in one.arguments for path in _SED_WRITES.findall(word))


def _block_copied(one: Invocation, _parsed: ParsedCommand) -> Iterator[str]:
    yield from (word.removeprefix("of=") for word in one.arguments if word.startswith("of="))


def _found(one: Invocation, parsed: ParsedCommand) -> Iterator[str]:
    """Yield what find itself writes, and the files for which it starts a writing program."""
    arguments, context = one.arguments, parsed.context
    for index, word in enumerate(arguments[:-1]):
        if word in {"-fprint", "-fprint0", "-fprintf", "-fls"}:
            yield arguments[index + 1]
    program = next(
        (arguments[at + 1] for at, word in enumerate(arguments[:-1]) if word.startswith(("-exec", "-ok"))), ""
    )
    name = posixpath.basename(program)
    writes = name in _ALL_OPERANDS or (
        name in _IN_PLACE and any(re.match(r"-[a-z]*i|--in-place", word) for word in arguments)
    )
    if "-delete" in arguments or name in REMOVERS:
        yield from (path for path in found_files(one, context) if "/.git/" in f"/{path}/")
    elif writes:
        yield from found_files(one, context)


def found_files(one: Invocation, context: CommandContext) -> Iterator[str]:
    """Yield the files that find would reach: those on disk that its names allow, and the names themselves."""
    folders = find_folders(one.arguments) or ["."]
    names = tests_of(one.arguments, "-name", "-iname")
    paths = tests_of(one.arguments, "-path", "-ipath", "-wholename", "-iwholename")
    for folder in folders:
        yield from (path.replace("*", "") for path in paths if ".git" in path)
        yield from (posixpath.join(folder, name) for name in names)
        for absolute in {context.absolute(folder, each) for each in one.folders}:
            reached = context.files.below(absolute)
            for path in reached or ():
                if _is_reached(path, names):
                    yield posixpath.join(absolute, path)


def _is_reached(path: str, names: Iterable[str]) -> bool:
    name = posixpath.basename(path)
    return not names or any(fnmatch(name.casefold(), pattern.casefold()) for pattern in names)


_FINDERS: tuple[tuple[frozenset[str], Callable[[Invocation, ParsedCommand], Iterable[str]]], ...] = (
    (_ALL_OPERANDS, _operands),
    (_COPIERS | {"mv"}, _copied),
    (frozenset({"dd"}), _block_copied),
    (_DOWNLOADERS, _downloaded),
    (_IN_PLACE, _edited),
    (frozenset({"find"}), _found),
    (frozenset({"git"}), lambda one, _parsed: written_operands(one)),
)
