"""Find irreversible effects in the calls that ran: jobs, pushes, messages and changes to the Git repository."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage

from ml_intern.execution.tool import Services
from ml_intern.graph.state import AgentState
from ml_intern.text.formatting import listed

MAX_NAMED = 3
MAX_LENGTH = 60
MAX_SEARCHED = 10_000
_TOOLS = {
    "jobs": "jobs",
    "improve": "searches",
    "notify": "messages",
    "hub_repos": "changes on the Hub",
    "sandbox": "sandboxes",
}
_LOCAL = {"write", "edit", "notebook", "plan", "read"}
_GIT = "add|am|branch|checkout|cherry-pick|commit|fetch|init|merge|pull|rebase|reset|stash|switch|tag"
_COMMANDS = tuple(
    (re.compile(pattern + r"[^;|&\n]*"), what)
    for pattern, what in (
        (r"\bgit\b[^;|&\n]*\bpush\b", "pushes"),
        (r"\b(?:hf|huggingface-cli)\s+(?:upload|repo|jobs)\b", "changes on the Hub"),
        (r"\b(?:push_to_hub|upload_file|upload_folder)\b", "changes on the Hub"),
        (rf"\bgit\b[^;|&\n]*\b(?:{_GIT})\b", "changes to the Git repository"),
        (r"\b(?:pip3?|uv|conda|npm|apt|apt-get)\b[^;|&\n]*\b(?:install|uninstall|add|remove|sync)\b", "packages"),
        (r"\b(?:gh|glab)\s+(?:pr|issue|release|repo)\b", "requests"),
        (r"\bcurl\b[^;|&\n]*\s(?:-X|--request|-d|--data\S*|-F)\b", "requests"),
    )
)


@dataclass(frozen=True)
class Undone:
    """The calls of the turns that an undo covers."""

    calls: Sequence[ToolCall]
    """The calls that ran and are still in the conversation."""
    complete: bool
    """False if compaction may have removed some calls."""

    def may_have_changed_files(self, services: Services) -> bool:
        """Return whether a call other than a read may have run."""
        return not self.complete or not all(_only_reads(call, services) for call in self.calls)


def undone_calls(before: AgentState, after: AgentState) -> Undone:
    """Return the calls between two states of a conversation."""
    known = {message.id for message in before.get("messages", [])}
    new = [message for message in after.get("messages", []) if message.id not in known]
    results = {message.tool_call_id: message for message in new if isinstance(message, ToolMessage)}
    replies = [message for message in new if isinstance(message, AIMessage)]
    calls = [call for reply in replies for call in reply.tool_calls if _ran(call, results)]
    return Undone(calls, len(replies) >= after.get("replies", 0) - before.get("replies", 0))


def _ran(call: ToolCall, results: Mapping[str, AnyMessage]) -> bool:
    result = results.get(call["id"] or "")
    return result is not None and not result.text.startswith("Not run")


def irreversible_effects(undone: Undone, services: Services) -> list[str]:
    """Return one line per kind of effect that undo cannot reverse, with the calls that caused it."""
    found: dict[str, list[str]] = {}
    for call in undone.calls:
        for what, words in _effects(call, services):
            found.setdefault(what, []).append(words)
    lines = [f"not undone: {what} ({_listed(words)})" for what, words in found.items()]
    if undone.complete or found:
        return lines
    return ["not undone: any jobs, pushes and messages from before the conversation was compacted"]


def _effects(call: ToolCall, services: Services) -> list[tuple[str, str]]:
    name = call["name"]
    if name == "bash":
        command = str(call["args"].get("command", ""))[:MAX_SEARCHED]
        return [(what, _shortened(found[0])) for pattern, what in _COMMANDS if (found := re.search(pattern, command))]
    if name in _LOCAL or _only_reads(call, services):
        return []
    return [(_TOOLS.get(name, "effects of other tools"), _shortened(f"{name} {_values(call)}"))]


def _only_reads(call: ToolCall, services: Services) -> bool:
    spec = services.tools.get(call["name"])
    return spec is not None and spec.only_reads(call["args"])


def _values(call: ToolCall) -> str:
    return " ".join(str(value) for value in call["args"].values())


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…"


def _listed(words: Sequence[str]) -> str:
    different = list(dict.fromkeys(words))
    return listed(different, MAX_NAMED, "; ")
