"""What an "always" answer to a call would allow. Nothing that sends out, spends, or that other programs obey."""

from dataclasses import replace
from functools import partial

from safety.policy import SHELL_TOOL, CallFacts, place_of, verdict
from safety.prefixes import always_prefixes
from safety.rules import MCP, Rules
from safety.shell import examine
from safety.shell_outward import destinations
from store.permissions import Grant
from tools.base import ToolCall, ToolContext
from tools.facts import from_facts, rule_of


async def always_offers(call: ToolCall, context: ToolContext) -> tuple[Grant, ...]:
    """The grants with which this call would run unasked from now on; empty when "always" is no answer to it."""
    return await from_facts(call, context, partial(_offers, call))


def _offers(call: ToolCall, facts: CallFacts) -> tuple[Grant, ...]:
    grants = _grants(call, facts)
    with_them = facts.rules.joined(Rules(tuple(map(rule_of, grants))))
    allowed = verdict(call.name, call.args, replace(facts, rules=with_them)).kind == "allow"
    return grants if grants and allowed else ()


def _grants(call: ToolCall, facts: CallFacts) -> tuple[Grant, ...]:
    if any(not one.startswith(MCP) for one in facts.destinations) or facts.cost_usd != 0 or facts.secrets:
        return ()
    if call.name != SHELL_TOOL:
        return (Grant(call.name),)
    command, place = str(call.args.get("command", "")), place_of(facts)
    scene = examine(command, place).scene
    if scene is None or destinations(scene):
        return ()
    return tuple(Grant(call.name, prefix) for prefix in always_prefixes(command, place))
