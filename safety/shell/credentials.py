"""Detection of credentials, project secrets and ml-intern's own files in a command, including wildcards."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch, fnmatchcase

from ml_intern.safety.shell.invocations import Invocation, ParsedCommand, resolve_paths
from ml_intern.safety.shell.paths import CommandContext, is_credential, is_own_home, is_project_secret, is_within
from ml_intern.safety.shell.programs import find_folders
from ml_intern.text.word_table import words

_PREFIX = re.compile(r"\A(?:--?[A-Za-z][\w-]*=|[A-Za-z_][\w.]*=)?[<@]?(?:file://(?:localhost)?)?")
_REMOTE = re.compile(r"\A[\w.@-]+:(?=[~/.\w])")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_PATH_IN_CODE = re.compile(r"(?:~|\$\{?HOME\}?|/)[\w./~$*{}-]*")
_SEPARATORS = re.compile(r"[\s;|&(){},'\"`<>=]+")
_QUOTED_NAME = re.compile(r"""['"](\.?[\w.-]{2,40}(?:/[\w./-]{1,80})?)['"]""")
_OF_HOME = re.compile(r"\bhome\(\)|expanduser|\bHOME\b|homedir\(|Dir\.home")
_AWK_TEXT = re.compile(r'"([^"\n]{2,300})"')
_SED_FILE = re.compile(r"[rRwW]\s*([/~][^\s;}]{1,300})")
_PRINTERS = frozenset({"echo", "printf"})
_GLOB = re.compile(r"[*?\[]")
_SAMPLES = (
    "~/.ssh/id_rsa", "~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.aws/credentials", "~/.netrc", "~/.git-credentials",
    "~/.config/gh/hosts.yml", "~/.cache/huggingface/token", "~/.cache/huggingface/stored_tokens", "~/.pypirc",
    "~/.npmrc", "~/.docker/config.json", "~/.kube/config", "~/.gnupg/secring.gpg", "~/.kaggle/kaggle.json", "~/.pgpass",
    "~/.bash_history", "~/.config/gcloud/credentials.db", "/etc/shadow", "/etc/gshadow", "/etc/sudoers",
    "~/.ssh/key.pem", "~/.config/kaggle/kaggle.json",
    "/proc/1/environ", "/proc/self/environ", "/root/.ssh/id_rsa", "/home/user/.ssh/id_rsa", "/root/.netrc",
    "/home/user/.netrc", "/dev/sda", "/dev/nvme0n1", "/dev/vda",
)  # fmt: skip
"""Well-known files that a wildcard may match."""
_SILENT = words("echo printf : true false basename dirname test [ cd pushd which type alias")
"""Programs that do not open their arguments as files."""
_FIRST_IS_PATTERN = words("grep egrep fgrep rg ag ack sed awk gawk mawk jq fd")
_MAX_WORDS = 64


def find_credential(invocation: Invocation, context: CommandContext) -> str:
    """Return the first credential file outside the workspace that the command names, or ""."""
    for path in invocation_paths(invocation, context):
        if is_credential(path) and not is_own_work(path, context):
            return path
    unknown = (text for text in _named(invocation) if text.startswith("$"))
    return next((text for text in unknown if is_credential(text)), "")


def hands_on_credential(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether a credential file is the value of a variable, the input of a program, or printed for another.

    In a command that cannot be parsed, every word counts.
    """
    values = [text for _, value in one.assignments for text in _elements(value.text)]
    values += [each.target.text for each in one.command.redirects if each.operator == "<<<"]
    if one.name in _PRINTERS and (one.command.host >= 0 or "-v" in one.arguments or parsed.has_downstream(one)):
        values += one.arguments
    if any(shell.has_error for shell in parsed.shells):
        values += _SEPARATORS.split(parsed.text)
    paths = (path for text in values for path in _paths_of(text, one, parsed.context))
    return any(is_credential(path) and not is_own_work(path, parsed.context) for path in paths)


def _elements(value: str) -> list[str]:
    """Return the value of a variable, or the elements of an array."""
    return _SEPARATORS.split(value) if value.startswith("(") else [value]


def _paths_of(text: str, one: Invocation, context: CommandContext) -> Iterator[str]:
    if text.startswith(("/", "~", "$HOME", "${HOME}")) and len(text) <= 4096 and "\n" not in text:
        for word in expand_word(text, context):
            yield from resolve_paths(one, word, context)


def find_reached_credential(one: Invocation, context: CommandContext) -> str:
    """Return a well-known credential file that a `find` outside the workspace would reach, or ""."""
    names = tests_of(one.arguments, "-name", "-iname")
    paths = tests_of(one.arguments, "-path", "-ipath", "-wholename", "-iwholename")
    for folder in {path for word in find_folders(one.arguments) for path in resolve_paths(one, word, context)}:
        for sample in samples(context):
            accepted = all(fnmatch(posixpath.basename(sample).lower(), name.lower()) for name in names)
            if accepted and is_within(sample, folder) and all(fnmatch(sample.lower(), path.lower()) for path in paths):
                return "" if is_own_work(sample, context) else sample
    return ""


def tests_of(arguments: Sequence[str], *options: str) -> list[str]:
    """Return the patterns of a `find` command's tests, without negated ones."""
    at = (index for index, word in enumerate(arguments[:-1]) if word in options)
    return [arguments[index + 1] for index in at if arguments[index - 1] not in {"!", "-not", "-o", "-or"}]


def samples(context: CommandContext) -> tuple[str, ...]:
    """Return the well-known credential files, with the user's home folder."""
    return tuple(posixpath.normpath(sample.replace("~", context.home, 1)) for sample in _SAMPLES)


def find_own_path(invocation: Invocation, context: CommandContext) -> str:
    """Return a path in ml-intern's data, settings or cache that the command names, or ""."""
    paths = invocation_paths(invocation, context)
    return next((path for path in paths if is_own_home(path, context.home, context.own_homes)), "")


def find_secret_file(invocation: Invocation, context: CommandContext) -> str:
    """Return a credential file or project secret that the command names, or ""."""
    return next(
        (path for path in invocation_paths(invocation, context) if is_credential(path) or is_project_secret(path)), ""
    )


def named_paths(parsed: ParsedCommand) -> tuple[str, ...]:
    """Return every absolute path that a command names, for path rules."""
    return tuple(dict.fromkeys(path for one in parsed.invocations for path in invocation_paths(one, parsed.context)))


def is_own_work(path: str, context: CommandContext) -> bool:
    """Return whether the path is in the workspace or an additional folder, and that is not the home folder."""
    return any(is_within(path, root) for root in (context.workspace, *context.add_dirs)) and not is_within(
        context.home, context.workspace
    )


def invocation_paths(invocation: Invocation, context: CommandContext) -> Iterator[str]:
    """Yield every absolute path that an invocation may open, with well-known files that its wildcards match."""
    for text in _named(invocation):
        for candidate in _candidates(text, context):
            if _GLOB.search(candidate):
                yield from _matching_samples(invocation, candidate, context)
            yield from resolve_paths(invocation, candidate, context)


def _named(invocation: Invocation) -> Iterator[str]:
    """Yield arguments that may be opened, targets of redirections, and paths in inline code."""
    if invocation.name not in _SILENT:
        named = list(invocation.arguments)
        if invocation.name in _FIRST_IS_PATTERN and not invocation.has("ef", "regexp", "file"):
            first = next((index for index, word in enumerate(named) if not word.startswith("-")), len(named))
            named = named[:first] + named[first + 1 :]
        yield from (word for word in named[:_MAX_WORDS] if word)
    yield from (one.target.text for one in invocation.command.redirects if not one.operator.startswith("<<"))
    yield from _in_code(invocation)


def _in_code(invocation: Invocation) -> Iterator[str]:
    """Yield paths in inline code, also names that it adds to the home folder, and those in scripts of awk and sed."""
    code = invocation.code
    yield from (match.group() for match in list(_PATH_IN_CODE.finditer(code))[:_MAX_WORDS])
    if _OF_HOME.search(code):
        yield from (f"~/{name}" for name in _QUOTED_NAME.findall(code)[:_MAX_WORDS])
    script = invocation.operands[0] if invocation.operands else ""
    if invocation.name.endswith("awk"):
        texts = _AWK_TEXT.findall(script)[:_MAX_WORDS]
        yield from (match.group() for text in texts for match in _PATH_IN_CODE.finditer(text))
    elif invocation.name in {"sed", "gsed"}:
        yield from _SED_FILE.findall(script)[:_MAX_WORDS]


def _candidates(word: str, context: CommandContext) -> Iterator[str]:
    if word.startswith("-") and "=" not in word and "@" not in word:
        attached = word[2:]
        if attached.startswith(("/", "~", ".")):
            yield attached
        return
    if len(word) > 4096 or "\n" in word:
        return
    bare = _PREFIX.sub("", word)
    for form in {bare, _REMOTE.sub("", bare), bare.rpartition("@")[2] if "=@" in word else bare}:
        yield from expand_word(form, context)


def expand_word(word: str, context: CommandContext) -> Iterator[str]:
    """Yield the paths that a word becomes when bash expands its braces and the home folder."""
    for braced in expand_braces(word):
        yield re.sub(r"\A(?:\$\{?HOME\}?|~[\w-]*)(?=/|\Z)", context.home, braced)


def expand_braces(word: str) -> list[str]:
    """Expand {a,b}, up to a limit."""
    expanded = [word]
    for _ in range(3):
        found = [(one, match) for one in expanded if (match := _BRACES.search(one))]
        if not found or len(expanded) > _MAX_WORDS:
            break
        expanded = [one for one in expanded if not _BRACES.search(one)]
        for one, match in found:
            expanded += [one[: match.start()] + part + one[match.end() :] for part in match.group(1).split(",")]
    return expanded[:_MAX_WORDS]


def _matching_samples(invocation: Invocation, pattern: str, context: CommandContext) -> Iterator[str]:
    """Yield the well-known credential files that a wildcard matches."""
    for folder in invocation.folders:
        parts = context.absolute(pattern, folder).split("/")
        for path in samples(context):
            names = path.split("/")
            is_deep_enough = len(names) == len(parts) or (len(names) > len(parts) and invocation.has("rR", "recursive"))
            if is_deep_enough and all(_part_matches(*pair) for pair in zip(names, parts, strict=False)):
                yield path


def _part_matches(name: str, pattern: str) -> bool:
    if name.startswith(".") and not pattern.startswith((".", "[.")):
        return False
    return name == pattern or fnmatchcase(name, pattern)
