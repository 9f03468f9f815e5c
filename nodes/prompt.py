"""What every request begins with, whatever was said: the system prompt and the schemas of the tools."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from string import Template
from typing import Any

from langchain_core.messages import SystemMessage

from ml_intern.configs.paths import PROMPTS
from ml_intern.execution.tool import Services, ToolSpec
from ml_intern.graph.context import RunOptions
from ml_intern.graph.state import AgentState
from ml_intern.tools.registry import openai_schemas, select_for_window


@dataclass(frozen=True)
class FixedPart:
    """The same bytes for a whole turn, so that providers find it in their caches."""

    system: SystemMessage
    schemas: Sequence[dict[str, Any]]

    @property
    def tokens(self) -> int:
        """What it takes of the window, estimated."""
        return (len(self.system.text) + len(json.dumps(self.schemas))) // 4


def fixed_part(state: AgentState, options: RunOptions, services: Services) -> FixedPart:
    """The system prompt and the tools of a run; in a small window only the essential tools."""
    window = services.models.window(services.models.acting(options.model, options.fallback_model))
    tools = select_for_window(services.offered(options), window)
    descriptions = {name: spec.description for name, spec in tools.items()}
    day = state.get("day") or date.today().isoformat()
    return _made(render_system_prompt(descriptions, options, day=day), tuple(tools.items()))


@lru_cache(maxsize=16)
def _made(system: str, tools: tuple[tuple[str, ToolSpec], ...]) -> FixedPart:
    """Made once for all of its requests: a transport knows by the objects that it need not encode them again."""
    return FixedPart(SystemMessage(system, id="system"), openai_schemas(dict(tools)))


@cache
def prompt(name: str) -> Template:
    """The text of configs/prompts/<name>.md."""
    return Template((PROMPTS / f"{name}.md").read_text(encoding="utf-8"))


def render_system_prompt(descriptions: Mapping[str, str], options: "RunOptions", day: str) -> str:
    """The system prompt: the same bytes for the same tools, options and day.

    Args:
        descriptions: the tools on offer, name to description.
        options: the run's choices; its folder and mode are named in the prompt.
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
        role="\n\n".join([*(prompt(role).substitute().strip() for role in roles), *_sandboxed(options)]),
        advice=prompt("advice").substitute(advice=options.advice) if options.advice else "",
    )


def _sandboxed(options: "RunOptions") -> list[str]:
    if options.tool_runtime == "sandbox":
        return [prompt("remote").substitute().strip()]
    if options.sandbox == "none":
        return []
    network = {
        "off": "There is no network.",
        "list": f"The network reaches {', '.join(['the package index', 'the Hub', 'GitHub', *options.sandbox_hosts])}.",
        "on": "The network is open.",
    }
    return [prompt("sandboxed").substitute(network=network[options.sandbox]).strip()]
