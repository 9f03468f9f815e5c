"""The remember tool: adds a fact to the memory of the folder, which later threads there are shown."""

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any

from langchain_core.messages import ToolMessage
from pydantic import Field

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.memory.facts import MAX_EVIDENCE, MAX_FACT, Fact
from ml_intern.configs.memory.file import remember as add_fact
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, ToolArgs, ToolContext, tool
from ml_intern.graph.limits import ASKING_MODES
from ml_intern.safety.secrets.redaction import redact
from ml_intern.text.visible import visible

_MIN_EVIDENCE = 3


class RememberArgs(ToolArgs):
    """The arguments of remember."""

    fact: str = Field(min_length=1, max_length=MAX_FACT, description="The fact, in one sentence.")
    evidence: str = Field(
        min_length=_MIN_EVIDENCE,
        max_length=MAX_EVIDENCE,
        description="What shows it: a run, a file here, an address or id from a result, or the user's words.",
    )
    contradicts: int = Field(0, ge=0, description="Number of the earlier fact that this one contradicts.")


async def _effects(_: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
    """Refuse it when text from outside is in the conversation and the mode does not ask."""
    if not context.taint or context.options.approval_mode in ASKING_MODES:
        return NO_EFFECTS
    mode = context.options.approval_mode
    why = f"text from {context.taint[0]} is in the conversation, and the mode {mode} does not ask the user"
    return ExternalEffects(refused=f"{why}; state the fact in your answer instead")


@tool(path_args=(), on_resume="rerun", effects=_effects)
async def remember(args: RememberArgs, context: ToolContext) -> str:
    """Record a fact about this project for later threads: one that its code and files do not show.

    Use it at the end of the work, for what took effort to find out: a setting that fails, a quirk of the data, a result
    that rules an idea out, what the user prefers. Not for what the next thread can read in the repository.
    """
    fact, evidence = _one_line(args.fact), _one_line(args.evidence)
    if not await _is_known(evidence, context):
        raise ToolError(
            f"there is no run, file, result or message of the user with {evidence}; name what shows the fact"
        )
    try:
        learned = Fact(fact, date.today().isoformat(), evidence)
        await asyncio.to_thread(add_fact, context.workspace, learned, contradicts=args.contradicts)
    except MLInternError as error:
        raise ToolError(str(error)) from error
    return f"remembered: {fact}"


def _one_line(text: str) -> str:
    """Return the text as one visible line without secrets, and without what the file uses as marks."""
    return " ".join(visible(redact(text)).replace("~~", "").split())


async def _is_known(evidence: str, context: ToolContext) -> bool:
    runs = await context.store.runs.list()
    names = {name for run in runs if run.folder == str(context.workspace) for name in (run.id, run.name)}
    results = (m.text for m in context.messages if isinstance(m, ToolMessage) and m.name != remember.name)
    if evidence in names or any(evidence in text for text in (context.user_text, *results)):
        return True
    try:
        return await asyncio.to_thread(context.resolve(evidence, reading=True).exists)
    except ToolError:
        return False
