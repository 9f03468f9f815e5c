"""Collect the policy inputs of a call: paths, destinations, rules in force, the user's text, cost and budget."""

import asyncio
import json
import math
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from ml_intern.execution.call import ToolCall, ToolError, is_saved_output, real_path
from ml_intern.execution.sandboxed import own_homes
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, ToolContext, ToolSpec, unknown_effects
from ml_intern.graph.limits import UNLIMITED
from ml_intern.safety.files.content import controls_alike
from ml_intern.safety.files.disk import disk_facts, home, matching_files, resolve
from ml_intern.safety.files.facts import UNRESOLVED
from ml_intern.safety.policy import PolicyContext, command_context, verdict
from ml_intern.safety.rule_settings import parse_rules
from ml_intern.safety.rules import MCP, SHELL_TOOL, Rule, Rules
from ml_intern.safety.secrets.env_files import register_env_files
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.outward import destinations
from ml_intern.safety.shell.prefixes import always_prefixes
from ml_intern.store.permissions import Grant

T = TypeVar("T")

_MAX_JUDGED = 10_000_000
"""Longest file in bytes whose content is compared."""


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
        sandbox_missing=context.options.sandbox_missing,
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
    return await asyncio.to_thread(lambda: judge(_collected(inputs, call, spec, context)))


def _collected(inputs: PolicyContext, call: ToolCall, spec: ToolSpec | None, context: ToolContext) -> PolicyContext:
    """Return the inputs with those from the file system, or with the reason why they could not be collected."""
    try:
        return _with_files(inputs, call, spec, context)
    except Exception as error:  # noqa: BLE001  whatever goes wrong is judged as unknown
        return replace(inputs, unresolved=f"{type(error).__name__}: {error}")


def _with_files(inputs: PolicyContext, call: ToolCall, spec: ToolSpec | None, context: ToolContext) -> PolicyContext:
    """Add the inputs that come from the file system, and let redaction know the secrets in .env files there."""
    register_env_files(map(str, context.roots()))
    return replace(
        inputs,
        read_only=spec.only_reads(call.args) if spec else True,
        runs_shell=bool(spec and spec.runs_shell and spec.runs_shell(call.args)),
        workspace=os.path.realpath(context.workspace),
        home=home(),
        paths=tuple(_paths(spec, call.args, context)) if spec else (),
        changed_paths=tuple(_changed_paths(spec, call.args, context)) if spec else (),
        add_dirs=tuple(os.path.realpath(folder) for folder in context.add_dirs),
        own_homes=_own_homes(context),
        resolve=resolve,
        match=matching_files,
        files=disk_facts(),
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
    readable = context.services.scopes.readable
    return [path for path in found if not (spec.only_reads(args) and is_saved_output(Path(path), home, readable))]


def _changed_paths(spec: ToolSpec, args: Mapping[str, Any], context: ToolContext) -> Iterator[str]:
    """Yield the paths that a call may change, as written and as resolved, for the list of protected files.

    A file whose controlling part stays the same, such as the kernel of a notebook, is left out.
    """
    if spec.only_reads(args) or (spec.runs_shell and spec.runs_shell(args)) or spec.name == SHELL_TOOL:
        return
    workspace = os.path.realpath(context.workspace)
    for name in spec.path_args:
        if isinstance(text := args.get(name), str):
            resolved = _resolved(text, context.workspace)
            if not _keeps_controls(spec, args, resolved):
                yield from dict.fromkeys((posixpath.normpath(posixpath.join(workspace, text)), resolved))


def _keeps_controls(spec: ToolSpec, args: Mapping[str, Any], path: str) -> bool:
    if spec.result_text is None:
        return False
    before, file = "", Path(path)
    if file.is_file() and file.stat().st_size <= _MAX_JUDGED:
        before = file.read_text(encoding="utf-8", errors="replace")
    return controls_alike(path, before, spec.result_text(args, before))


def _resolved(text: str, workspace: Path) -> str:
    try:
        return str(real_path(text, workspace))
    except ToolError:
        return UNRESOLVED


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
