"""Detection of credentials, project secrets and ml-intern's own files in a command, including wildcards."""

import posixpath
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from ml_intern.safety.shell.invocations import Invocation, ParsedCommand, resolve_paths
from ml_intern.safety.shell.paths import CommandContext, is_credential, is_own_home, is_project_secret, is_within
from ml_intern.text.word_table import words

_PREFIX = re.compile(r"\A(?:--?[A-Za-z][\w-]*=|[A-Za-z_][\w.]*=)?[<@]?(?:file://(?:localhost)?)?")
_REMOTE = re.compile(r"\A[\w.@-]+:(?=[~/.\w])")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_PATH_IN_CODE = re.compile(r"(?:~|\$\{?HOME\}?|/)[\w./~$*{}-]*")
_GLOB = re.compile(r"[*?\[]")
_SAMPLES = (
    "~/.ssh/id_rsa", "~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.aws/credentials", "~/.netrc", "~/.git-credentials",
    "~/.config/gh/hosts.yml", "~/.cache/huggingface/token", "~/.cache/huggingface/stored_tokens", "~/.pypirc",
    "~/.npmrc", "~/.docker/config.json", "~/.kube/config", "~/.gnupg/secring.gpg", "~/.kaggle/kaggle.json", "~/.pgpass",
    "~/.bash_history", "~/.config/gcloud/credentials.db", "/etc/shadow", "/etc/gshadow", "/etc/sudoers",
    "/proc/1/environ", "/proc/self/environ", "/root/.ssh/id_rsa", "/home/user/.ssh/id_rsa", "/root/.netrc",
    "/home/user/.netrc",
)  # fmt: skip
"""Well-known files that a wildcard may match."""
_SILENT = words("echo printf : true false basename dirname test [ cd pushd which type alias")
"""Programs that do not open their arguments as files."""
_FIRST_IS_PATTERN = words("grep egrep fgrep rg ag ack sed awk gawk mawk jq fd")
_MAX_WORDS = 64


def find_credential(invocation: Invocation, context: CommandContext) -> str:
    """Return the first credential file outside the workspace that the command names, or ""."""
    for path in _paths(invocation, context):
        if is_credential(path) and not _is_own_work(path, context):
            return path
    return ""


def find_own_path(invocation: Invocation, context: CommandContext) -> str:
    """Return a path in ml-intern's data, settings or cache that the command names, or ""."""
    paths = _paths(invocation, context)
    return next((path for path in paths if is_own_home(path, context.home, context.own_homes)), "")


def find_secret_file(invocation: Invocation, context: CommandContext) -> str:
    """Return a credential file or project secret that the command names, or ""."""
    return next((path for path in _paths(invocation, context) if is_credential(path) or is_project_secret(path)), "")


def named_paths(parsed: ParsedCommand) -> tuple[str, ...]:
    """Return every absolute path that a command names, for path rules."""
    return tuple(dict.fromkeys(path for one in parsed.invocations for path in _paths(one, parsed.context)))


def _is_own_work(path: str, context: CommandContext) -> bool:
    return any(is_within(path, root) for root in (context.workspace, *context.add_dirs)) and not is_within(
        context.home, context.workspace
    )


def _paths(invocation: Invocation, context: CommandContext) -> Iterator[str]:
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
    yield from (match.group() for match in list(_PATH_IN_CODE.finditer(invocation.code))[:_MAX_WORDS])


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
        for braced in _braces(form):
            yield re.sub(r"\A(?:\$\{?HOME\}?|~[\w-]*)(?=/|\Z)", context.home, braced)


def _braces(word: str) -> list[str]:
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
        for sample in _SAMPLES:
            path = sample.replace("~", context.home, 1) if sample.startswith("~") else sample
            names = path.split("/")
            is_deep_enough = len(names) == len(parts) or (len(names) > len(parts) and invocation.has("rR", "recursive"))
            if is_deep_enough and all(_part_matches(*pair) for pair in zip(names, parts, strict=False)):
                yield posixpath.normpath(path)


def _part_matches(name: str, pattern: str) -> bool:
    if name.startswith(".") and not pattern.startswith((".", "[.")):
        return False
    return name == pattern or fnmatchcase(name, pattern)
