"""Commands that send data, publish or spend money, their destinations, and the sources of fetched data."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from ml_intern.configs.providers import GITHUB, KAGGLE, WANDB
from ml_intern.safety.shell.exfiltration import NETWORK_CLIENTS
from ml_intern.safety.shell.invocations import Invocation, ParsedCommand

_CLIENTS = re.compile(
    r"(?:hf|huggingface-cli) (?:upload|upload-large-folder|repos? (?:create|settings|branch|tag|delete)|jobs|endpoints|"
    r"discussions|buckets|sync)\b|git (?:\S+ )*?(?:push|remote (?:add|set-url))\b|gh (?:pr|issue|gist|release|repo) "
    r"(?:create|edit|comment|merge|close|review)|gh api .*(?:-X|--method|-f|-F)|twine upload|"
    r"(?:uv|npm|pnpm|yarn|cargo|poetry) publish|(?:docker|podman) push|wandb (?:sync|artifact put)|"
    r"kaggle .*(?:create|version|push|submit)|(?:aws s3|gsutil|gcloud storage|rclone|azcopy) (?:cp|mv|sync|rsync|copy)|"
    r"(?:scp|sftp|rsync|ssh|mail|sendmail|nc|ncat|netcat|socat|telnet|openssl s_client|croc|wormhole)\b|"
    r"curl (?:.* )?(?:-[A-Za-z]*(?:[dFT]|X ?(?!GET|HEAD)\w)|--(?:data\S*|form\S*|upload-file|json|"
    r"request[ =](?!GET|HEAD)))|"
    r"wget .*--(?:post-\S+|method[ =](?!GET|HEAD)|body-\S+)|(?:http|https|xh) .*\b(?:POST|PUT|PATCH|DELETE)\b"
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+")
_ALSO_LOCAL = frozenset({"rsync", "scp", "rclone"})
_REPO = re.compile(r"[\w.-]+/[\w.-]+\Z")
_HOST = re.compile(r"(?:[\w.-]+@)?([\w-]+(?:\.[\w-]+)+|[\w-]+(?=:))(?::.*)?\Z")


def outward_invocations(parsed: ParsedCommand) -> list[Invocation]:
    """Return the invocations that send data, publish or spend money."""
    return [one for one in parsed.invocations if _CLIENTS.match(" ".join((one.name, *one.arguments))[:2000])]


def is_private(parsed: ParsedCommand) -> bool:
    """Return whether every Hub command among them uses --private."""
    return all(
        "--private" in one.arguments for one in outward_invocations(parsed) if one.name in {"hf", "huggingface-cli"}
    )


def outward_reason(parsed: ParsedCommand) -> str:
    """Return a short description of the first of them, or ""."""
    found = outward_invocations(parsed)
    return " ".join((found[0].name, *found[0].arguments[:2])) if found else ""


def destinations(parsed: ParsedCommand) -> tuple[str, ...]:
    """Return their destinations: repository ids, hosts, remotes, or "unknown" if the command does not show it."""
    found = [destination for one in outward_invocations(parsed) for destination in _destinations_of(one)]
    return tuple(dict.fromkeys(found))


def _destinations_of(one: Invocation) -> list[str]:
    urls = [urlsplit(match.group()).hostname or "" for word in one.arguments for match in _URL.finditer(word)]
    if urls:
        return urls
    found = _FINDERS.get(one.name, _hosts)(one)
    return found or ([] if one.name in _ALSO_LOCAL else ["unknown"])


def _hub(one: Invocation) -> list[str]:
    if one.arguments[:1] == ("jobs",):
        return ["hf jobs"]
    return [word for word in one.operands if _REPO.match(word) and not word.startswith(".")][:1]


def _remote(one: Invocation) -> list[str]:
    if "push" not in one.arguments:  # a changed remote affects later pushes
        return _hosts(one) or ["localhost"]
    behind = [word for word in one.arguments[one.arguments.index("push") + 1 :] if not word.startswith("-")]
    return behind[:1] or ["origin"]


def _hosts(one: Invocation) -> list[str]:
    return [match.group(1) for word in one.operands if (match := _HOST.match(word))][:1]


_FINDERS: dict[str, Callable[[Invocation], list[str]]] = {
    "hf": _hub,
    "huggingface-cli": _hub,
    "git": _remote,
    "gh": lambda _one: [GITHUB.hosts[0]],
    "twine": lambda _one: ["pypi.org"],
    "wandb": lambda _one: [WANDB.hosts[0]],
    "kaggle": lambda _one: [KAGGLE.hosts[0]],
}


_FETCHED_URL = re.compile(r"(?:https?|ftp|git|ssh|hf|s3|gs)://[^\s'\"<>)]+")
_FETCHES = re.compile(
    r"git (?:-\S+ (?:\S+ )?)*(?:clone|pull|fetch|submodule update|ls-remote|remote update|archive --remote)|"
    r"gh (?:pr|issue|release|repo|api|gist|search|run|workflow)|"
    r"(?:hf|huggingface-cli) (?:download|models|datasets|spaces|papers|discussions|repos?|jobs|cache)|"
    r"kaggle (?:datasets|competitions|kernels|models) (?:download|pull|list|files)|"
    r"(?:aws s3|gsutil|gcloud storage|rclone|azcopy) (?:cp|mv|sync|copy|cat|ls)|dvc (?:pull|fetch|get|import)|"
    r"wandb (?:artifact get|pull|restore)|(?:docker|podman) (?:pull|logs)"
)
_NOT_INWARD = frozenset({"ping", "openssl", "mail", "sendmail"})


def inward_sources(parsed: ParsedCommand) -> tuple[str, ...]:
    """Return the possible sources of its output: hosts of URLs, or else the programs that fetch data."""
    texts = [word for one in parsed.invocations for word in (*one.arguments, one.code)]
    hosts = [urlsplit(url).netloc.rpartition("@")[2] for text in texts for url in _FETCHED_URL.findall(text)]
    lines = [(one.name, " ".join((one.name, *one.arguments))[:2000]) for one in parsed.invocations]
    programs = [
        name for name, line in lines if (name in NETWORK_CLIENTS and name not in _NOT_INWARD) or _FETCHES.match(line)
    ]
    return tuple(dict.fromkeys(hosts)) or tuple(dict.fromkeys(programs))
