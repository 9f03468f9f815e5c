"""Collect the policy inputs of a call: paths, destinations, rules in force, the user's text, cost and budget."""

import asyncio
import glob
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ml_intern.execution.call import ToolCall, ToolError, is_saved_output, real_path
from ml_intern.execution.sandboxed import own_homes
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, ToolContext, ToolSpec, unknown_effects
from ml_intern.graph.limits import UNLIMITED
from ml_intern.safety.policy import SHELL_TOOL, PolicyContext, command_context, verdict
from ml_intern.safety.rule_settings import parse_rules
from ml_intern.safety.rules import MCP, Rule, Rules
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.outward import destinations
from ml_intern.safety.shell.prefixes import always_prefixes
from ml_intern.store.permissions import Grant

T = TypeVar("T")

_MAX_FILES = 2_000
_MAX_PATTERNS = 3
_ANYWHERE = ("/",)
"""The assumed matches of a pattern that would take too long to expand."""


async def evaluate_policy(call: ToolCall, context: ToolContext, judge: Callable[[PolicyContext], T]) -> T:
    """Apply `judge` to the policy inputs of a call. They are read from files and the store; nothing is changed.

    Collecting and judging share one thread: LangGraph's server forbids file access on the event loop, and each
    switch to a thread costs more than the judgement.
    """
    spec, store = context.services.tools.get(call.name), context.services.store
    grants = await store.permissions.in_force(str(context.workspace), context.root_id)
    effects = await _effects(call, spec, context)
    inputs = PolicyContext(
        mode=context.options.approval_mode,
        child=context.options.child,
        sandboxed=context.sandbox_profile != "none",
        taint=context.taint,
        user_text=context.user_text,
        owner=context.services.account.name,
        rules=settings_rules(context.options.permissions).merged_with(
            Rules(tuple(grant_rule(row.grant) for row in grants))
        ),
        changed=spec.warning() if spec is not None and spec.warning is not None else "",
        destinations=effects.destinations,
        public=effects.public,
        irreversible=effects.irreversible,
        secrets=effects.secrets,
        unknown=effects.unknown,
        refused=effects.refused,
        cost_usd=effects.cost_usd,
        budget_left_usd=await _budget_left(context) if effects.cost_usd != 0 else math.inf,
    )
    return await asyncio.to_thread(lambda: judge(_with_files(inputs, call, spec, context)))


def _with_files(inputs: PolicyContext, call: ToolCall, spec: ToolSpec | None, context: ToolContext) -> PolicyContext:
    """Add the inputs that come from the file system."""
    return replace(
        inputs,
        read_only=spec.only_reads(call.args) if spec else True,
        workspace=os.path.realpath(context.workspace),
        home=os.path.realpath(Path.home()),
        paths=tuple(_paths(spec, call.args, context)) if spec else (),
        add_dirs=tuple(os.path.realpath(folder) for folder in context.add_dirs),
        own_homes=_own_homes(context),
        resolve=os.path.realpath,
        match=matching_files,
    )


async def _effects(call: ToolCall, spec: ToolSpec | None, context: ToolContext) -> ExternalEffects:
    if spec is None or spec.effects is None:
        return NO_EFFECTS
    try:
        return await spec.effects(call.args, context)
    except ToolError as error:
        return unknown_effects(str(error))


def settings_rules(permissions: Mapping[str, Any]) -> Rules:
    """Return the rules of the settings. Raises ConfigurationError for an invalid rule."""
    return _parsed(json.dumps(permissions))


@lru_cache(maxsize=32)
def _parsed(permissions: str) -> Rules:
    return parse_rules(json.loads(permissions), "settings")


def grant_rule(grant: Grant) -> Rule:
    """Return the rule for an "always" answer. It covers ordinary files of the workspace only."""
    return Rule("allow", tool=grant.tool, prefix=grant.prefix, ordinary=True, why="you answered always")


async def _budget_left(context: ToolContext) -> float:
    if context.options.max_budget_usd == UNLIMITED:
        return math.inf
    return context.options.max_budget_usd - (await context.services.store.ledger.total(context.root_id)).cost_usd


def _own_homes(context: ToolContext) -> tuple[str, ...]:
    return tuple(dict.fromkeys(os.path.realpath(folder) for folder in (context.services.store.home, *own_homes())))


def _paths(spec: ToolSpec, args: Mapping[str, Any], context: ToolContext) -> Sequence[str]:
    """Return the resolved paths in the arguments, without saved output that is only read."""
    home = Path(os.path.realpath(context.services.store.home))
    found = [_resolved(args[name], context.workspace) for name in spec.path_args if isinstance(args.get(name), str)]
    return [path for path in found if not (spec.only_reads(args) and is_saved_output(Path(path), home))]


def _resolved(text: str, workspace: Path) -> str:
    try:
        return str(real_path(text, workspace))
    except ToolError:
        return text


def matching_files(pattern: str) -> tuple[str, ...]:
    """Return the files a bash pattern matches, with "/" among them when there are too many to check."""
    if len(re.findall(r"/[^/]*[*?\[][^/]*", pattern)) > _MAX_PATTERNS:
        return _ANYWHERE
    files = glob.iglob(pattern.replace("[^", "[!"))  # noqa: PTH207  the pattern is a whole path, and text
    found = tuple(islice(files, _MAX_FILES + 1))
    return found if len(found) <= _MAX_FILES else (*found, *_ANYWHERE)


async def always_offers(call: ToolCall, context: ToolContext) -> tuple[Grant, ...]:
    """Return the grants that would let this call run without approval in future; empty when "always" does not apply."""
    return await evaluate_policy(call, context, partial(_sufficient_grants, call))


def _sufficient_grants(call: ToolCall, facts: PolicyContext) -> tuple[Grant, ...]:
    grants = _grants(call, facts)
    extended = facts.rules.merged_with(Rules(tuple(map(grant_rule, grants))))
    allowed = verdict(call.name, call.args, replace(facts, rules=extended)).kind == "allow"
    return grants if grants and allowed else ()


def _grants(call: ToolCall, facts: PolicyContext) -> tuple[Grant, ...]:
    if any(not one.startswith(MCP) for one in facts.destinations) or facts.cost_usd != 0 or facts.secrets:
        return ()
    if call.name != SHELL_TOOL:
        return (Grant(call.name),)
    command, place = str(call.args.get("command", "")), command_context(facts)
    parsed = analyze_command(command, place).parsed
    if parsed is None or destinations(parsed):
        return ()
    return tuple(Grant(call.name, prefix) for prefix in always_prefixes(command, place))
