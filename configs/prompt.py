"""Render the prompts in configs/prompts/."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graph.context import RunOptions

PROMPTS = Path(__file__).parent / "prompts"


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
