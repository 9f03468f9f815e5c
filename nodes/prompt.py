"""The constant prefix of every request: the system prompt and the tool schemas."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from string import Template
from typing import Any

from langchain_core.messages import SystemMessage

from ml_intern.configs.paths import PROMPTS
from ml_intern.evidence.goals import goal_prompt
from ml_intern.execution.tool import Services, ToolSpec
from ml_intern.graph.context import RunOptions
from ml_intern.graph.state import AgentState
from ml_intern.tools.registry import openai_schemas, select_for_window


@dataclass(frozen=True)
class RequestPrefix:
    """The request prefix. It stays byte-identical for a whole turn, so that providers can cache it."""

    system: SystemMessage
    schemas: Sequence[dict[str, Any]]

    @property
    def tokens(self) -> int:
        """Return its estimated size in tokens."""
        return (len(self.system.text) + len(json.dumps(self.schemas))) // 4


def request_prefix(state: AgentState, options: RunOptions, services: Services) -> RequestPrefix:
    """Return the system prompt and the tools of a run. A small context window gets only the essential tools."""
    window = services.models.window(services.models.acting(options.model, options.fallback_model))
    tools = select_for_window(services.offered(options), window)
    descriptions = {name: spec.description for name, spec in tools.items()}
    day = state.get("day") or date.today().isoformat()
    return _build(render_system_prompt(descriptions, options, day=day), tuple(tools.items()))


@lru_cache(maxsize=16)
def _build(system: str, tools: tuple[tuple[str, ToolSpec], ...]) -> RequestPrefix:
    """Build the prefix once per turn: a transport recognizes the same objects and reuses their encoding."""
    return RequestPrefix(SystemMessage(system, id="system"), openai_schemas(dict(tools)))


@cache
def prompt(name: str) -> Template:
    """Return the template in configs/prompts/<name>.md."""
    return Template((PROMPTS / f"{name}.md").read_text(encoding="utf-8"))


def render_system_prompt(descriptions: Mapping[str, str], options: "RunOptions", day: str) -> str:
    """Return the system prompt. Equal tools, options and day give identical bytes.

    Args:
        descriptions: the available tools, name to description.
        options: the options of the run; the prompt names its folder and mode.
        day: the date as YYYY-MM-DD.
    """
    tools = "\n".join(f"- {name}: {text.strip().splitlines()[0]}" for name, text in descriptions.items())
    roles = ["child" if options.child else "attended" if not options.headless else "unattended"]
    roles += ["planning"] if options.approval_mode == "plan" else []
    return prompt("system").substitute(
        tools=tools or "(none)",
        day=day,
        workspace=options.workspace,
        mode=options.approval_mode,
        role="\n\n".join([*(prompt(role).substitute().strip() for role in roles), *_notes(options)]),
        advice="\n\n".join(_advice(options)),
    )


def _advice(options: "RunOptions") -> Iterator[str]:
    if options.advice:
        yield prompt("advice").substitute(advice=options.advice)
    if options.memory:
        yield prompt("memory").substitute(memory=options.memory)


def _notes(options: "RunOptions") -> list[str]:
    goal = [goal_prompt(options.goal)] if options.goal and not options.child else []
    return [*goal, *_sandbox_notes(options)]


def _sandbox_notes(options: "RunOptions") -> list[str]:
    if options.tool_runtime == "sandbox":
        return [prompt("remote").substitute().strip()]
    if options.sandbox == "none":
        return []
    hosts = ", ".join(["the package index", "the Hub", "GitHub", *options.sandbox_hosts])
    network = {
        "off": "The sandbox has no network access.",
        "list": f"Network access is limited to {hosts}.",
        "on": "Network access is not restricted.",
    }
    basic = ["In this sandbox there is no /tmp (use $TMPDIR), and no program can accept connections."]
    notes = [network[options.sandbox], *(basic if options.sandbox_kind == "basic" else [])]
    return [prompt("sandboxed").substitute(network=" ".join(notes)).strip()]
