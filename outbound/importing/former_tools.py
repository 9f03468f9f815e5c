"""The tools of Hugging Face's ml-intern under the names of ml-intern's tools, in imported conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ml_intern.outbound.conversation import Call, Message

FORMER_TOOLS: Mapping[str, str] = {
    "plan_tool": "plan",
    "hf_jobs": "jobs",
    "sandbox_create": "sandbox",
    "hf_papers": "papers",
    "hf_inspect_dataset": "datasets",
    "hf_repo_files": "hub_repos",
    "hf_repo_git": "hub_repos",
    "hf_private_repos": "hub_repos",
    "explore_hf_docs": "docs_search",
    "find_hf_api": "docs_search",
    "fetch_hf_docs": "docs_read",
    "github_find_examples": "github",
    "github_list_repos": "github",
    "github_read_file": "github",
    "github_search_code": "github",
}
"""The current tool for each former name. Tools whose name is the same are left out."""

_PLAN_STATES = {"completed": "done"}


def with_current_tools(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with every call under its current tool. The steps of a plan get their current form."""
    return [replace(message, calls=tuple(map(_current, message.calls))) for message in messages]


def _current(call: Call) -> Call:
    name = FORMER_TOOLS.get(call.name, call.name)
    return replace(call, name=name, args=_plan(call.args) if call.name == "plan_tool" else call.args)


def _plan(args: Mapping[str, Any]) -> dict[str, Any]:
    todos = args.get("todos")
    if not isinstance(todos, list) or not all(isinstance(todo, Mapping) for todo in todos):
        return dict(args)
    return {"steps": [_step(todo) for todo in todos]}


def _step(todo: Mapping[str, Any]) -> dict[str, str]:
    status = str(todo.get("status", "pending"))
    return {"text": str(todo.get("content", "")), "status": _PLAN_STATES.get(status, status)}
