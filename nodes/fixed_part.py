"""What every request begins with, whatever was said: the system prompt and the schemas of the tools."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from langchain_core.messages import SystemMessage

from configs.prompt import render_system_prompt
from graph.context import RunOptions, Services
from graph.state import AgentState
from tools.base import ToolSpec
from tools.registry import fitting, offered, openai_schemas


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
    tools = fitting(offered(services.tools, options), window)
    descriptions = {name: spec.description for name, spec in tools.items()}
    day = state.get("day") or date.today().isoformat()
    return _made(render_system_prompt(descriptions, options, day=day), tuple(tools.items()))


@lru_cache(maxsize=16)
def _made(system: str, tools: tuple[tuple[str, ToolSpec], ...]) -> FixedPart:
    """Made once for all of its requests: a transport knows by the objects that it need not encode them again."""
    return FixedPart(SystemMessage(system, id="system"), openai_schemas(dict(tools)))
