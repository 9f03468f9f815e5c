"""The facts that policy judges a call by: where it leads, the rules in force, what the user said, what it may cost."""

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

from ml_intern.execution.call import ToolCall, ToolError, is_kept_output, real_path
from ml_intern.execution.sandboxed import own_homes
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, ToolContext, ToolSpec, unknown_effects
from ml_intern.graph.limits import UNLIMITED
from ml_intern.safety.policy import SHELL_TOOL, PolicyContext, place_of, verdict
from ml_intern.safety.rule_settings import parse_rules
from ml_intern.safety.rules import MCP, Rule, Rules
from ml_intern.safety.shell.analysis import examine
from ml_intern.safety.shell.outward import destinations
from ml_intern.safety.shell.prefixes import always_prefixes
from ml_intern.store.permissions import Grant

T = TypeVar("T")

_MAX_FILES = 2_000
_MAX_PATTERNS = 3
_ELSEWHERE = ("/",)
"""What a pattern that cannot be looked through within reason stands for."""


async def with_policy_context(call: ToolCall, context: ToolContext, judge: Callable[[PolicyContext], T]) -> T:
    """What `judge` makes of the facts about a call. They are read from files and the store; nothing is changed.

    Facts and judgement take one thread: LangGraph's server allows no file access on the event loop, and each time
    in and out of a thread costs more than the judgement.
    """
    spec, store = context.services.tools.get(call.name), context.services.store
    granted = await store.permissions.in_force(str(context.workspace), context.root_id)
    reach = await _reach(call, spec, context)
    known = PolicyContext(
        mode=context.options.approval_mode,
        child=context.options.child,
        sandboxed=context.sandbox_profile != "none",
        taint=context.taint,
        user_text=context.user_text,
        owner=context.services.account.name,
        rules=written_rules(context.options.permissions).joined(Rules(tuple(rule_of(row.grant) for row in granted))),
        changed=spec.warning() if spec is not None and spec.warning is not None else "",
        destinations=reach.destinations,
        public=reach.public,
        irreversible=reach.irreversible,
        secrets=reach.secrets,
        unknown=reach.unknown,
        refused=reach.refused,
        cost_usd=reach.cost_usd,
        budget_left_usd=await _budget_left(context) if reach.cost_usd != 0 else math.inf,
    )
    return await asyncio.to_thread(lambda: judge(_with_files(known, call, spec, context)))


def _with_files(known: PolicyContext, call: ToolCall, spec: ToolSpec | None, context: ToolContext) -> PolicyContext:
    """The facts with those that lie in the file system."""
    return replace(
        known,
        read_only=spec.only_reads(call.args) if spec else True,
        workspace=os.path.realpath(context.workspace),
        home=os.path.realpath(Path.home()),
        paths=tuple(_paths(spec, call.args, context)) if spec else (),
        add_dirs=tuple(os.path.realpath(folder) for folder in context.add_dirs),
        own_homes=_own_homes(context),
        resolve=os.path.realpath,
        match=matching_files,
    )


async def _reach(call: ToolCall, spec: ToolSpec | None, context: ToolContext) -> ExternalEffects:
    if spec is None or spec.effects is None:
        return NO_EFFECTS
    try:
        return await spec.effects(call.args, context)
    except ToolError as fault:
        return unknown_effects(str(fault))


def written_rules(permissions: Mapping[str, Any]) -> Rules:
    """The rules of the settings. Raises ConfigurationError for one that is none."""
    return _parsed(json.dumps(permissions))


@lru_cache(maxsize=32)
def _parsed(permissions: str) -> Rules:
    return parse_rules(json.loads(permissions), "settings")


def rule_of(grant: Grant) -> Rule:
    """The rule that an "always" answer stands for. It is about ordinary files of the workspace only."""
    return Rule("allow", tool=grant.tool, prefix=grant.prefix, ordinary=True, why="you said always")


async def _budget_left(context: ToolContext) -> float:
    if context.options.max_budget_usd == UNLIMITED:
        return math.inf
    return context.options.max_budget_usd - (await context.services.store.ledger.total(context.root_id)).cost_usd


def _own_homes(context: ToolContext) -> tuple[str, ...]:
    return tuple(dict.fromkeys(os.path.realpath(folder) for folder in (context.services.store.home, *own_homes())))


def _paths(spec: ToolSpec, args: Mapping[str, Any], context: ToolContext) -> Sequence[str]:
    """Where the arguments that name files lead. The artifacts of threads are there to be read."""
    home = Path(os.path.realpath(context.services.store.home))
    found = [_led_to(args[name], context.workspace) for name in spec.path_args if isinstance(args.get(name), str)]
    return [path for path in found if not (spec.only_reads(args) and is_kept_output(Path(path), home))]


def _led_to(text: str, workspace: Path) -> str:
    try:
        return str(real_path(text, workspace))
    except ToolError:
        return text


def matching_files(pattern: str) -> tuple[str, ...]:
    """The files a pattern of bash stands for; "/" among them when there are too many to look at."""
    if len(re.findall(r"/[^/]*[*?\[][^/]*", pattern)) > _MAX_PATTERNS:
        return _ELSEWHERE
    files = glob.iglob(pattern.replace("[^", "[!"))  # noqa: PTH207  the pattern is a whole path, and text
    found = tuple(islice(files, _MAX_FILES + 1))
    return found if len(found) <= _MAX_FILES else (*found, *_ELSEWHERE)


async def always_offers(call: ToolCall, context: ToolContext) -> tuple[Grant, ...]:
    """The grants with which this call would run unasked from now on; empty when "always" is no answer to it."""
    return await with_policy_context(call, context, partial(_offers, call))


def _offers(call: ToolCall, facts: PolicyContext) -> tuple[Grant, ...]:
    grants = _grants(call, facts)
    with_them = facts.rules.joined(Rules(tuple(map(rule_of, grants))))
    allowed = verdict(call.name, call.args, replace(facts, rules=with_them)).kind == "allow"
    return grants if grants and allowed else ()


def _grants(call: ToolCall, facts: PolicyContext) -> tuple[Grant, ...]:
    if any(not one.startswith(MCP) for one in facts.destinations) or facts.cost_usd != 0 or facts.secrets:
        return ()
    if call.name != SHELL_TOOL:
        return (Grant(call.name),)
    command, place = str(call.args.get("command", "")), place_of(facts)
    scene = examine(command, place).scene
    if scene is None or destinations(scene):
        return ()
    return tuple(Grant(call.name, prefix) for prefix in always_prefixes(command, place))
