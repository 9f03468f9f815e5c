"""The budget check before the loop continues: warnings, the question and the end. The ledger reserves costs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.limits import UNLIMITED
from ml_intern.graph.state import AgentState, Outcome
from ml_intern.store.ledger import Totals, budget_remedy, unpriced_allowed
from ml_intern.text.formatting import money, plural

WARN_AT = (50, 80)
"""Percent of the cap."""


def persistent_counters(guard: Mapping[str, int] | None) -> dict[str, int]:
    """Return the counters that a message of the user does not reset: budget increases and the last warning."""
    return {kind: count for kind, count in (guard or {}).items() if kind in ("raised", "warned")}


def current_cap(state: AgentState, options: RunOptions) -> float | None:
    """Return the current cap in US dollars, doubled each time the user agreed to continue; None is unlimited."""
    if options.max_budget_usd == UNLIMITED:
        return None
    return float(options.max_budget_usd * 2 ** (state.get("guard") or {}).get("raised", 0))


def with_cap(state: AgentState, options: RunOptions) -> RunOptions:
    """Return the options with the current cap, for calls that spend on behalf of this thread."""
    cap = current_cap(state, options)
    return options if cap is None else replace(options, max_budget_usd=cap)


def hard_cap(state: AgentState, options: RunOptions) -> float | None:
    """Return the cap that no request may exceed. It applies in unattended mode; None otherwise."""
    return current_cap(state, options) if options.headless or options.child else None


def check_budget(used: Totals, cap: float, guard: dict[str, int], emit: Emit) -> bool:
    """Return whether the cap is reached. Emit one warning at 50 and one at 80 percent."""
    share = _share(used, cap)
    passed = max((level for level in WARN_AT if share >= level), default=0)
    if passed > guard.get("warned", 0):
        guard["warned"] = passed
        emit("budget", spent_usd=used.cost_usd, cap_usd=cap, unpriced_requests=used.unknown_cost_requests)
    return share >= 100


async def question_before_turn(
    state: AgentState, options: RunOptions, services: Services, thread_id: str
) -> dict[str, Any] | None:
    """Return the question to the user before the first request of a turn, if earlier turns used up the budget.

    Turns without calls are not asked about otherwise. In unattended mode the request itself is refused.
    """
    cap = current_cap(state, options)
    if cap is None or hard_cap(state, options) is not None or state.get("iteration", 0):
        return None
    used = await services.store.ledger.total(options.root or thread_id)
    return question(used, cap) if _share(used, cap) >= 100 else None


def budget_exhausted(used: Totals, cap: float) -> Outcome:
    """Return the outcome of an unattended turn that has used up its budget."""
    text = f"The budget of {money(cap)} is used up: {_spent(used)} ({budget_remedy(used.unknown_cost_requests)})"
    return Outcome(status="limit", text=text, exit_code=124)


def question(used: Totals, cap: float) -> dict[str, Any]:
    """Return the question to the user when the cap is reached."""
    text = f"{_spent(used)} of a budget of {money(cap)}. Continue with {money(cap)} more?"
    return {"id": f"question:budget:{cap:g}", "text": text, "kind": "budget"}


def _share(used: Totals, cap: float) -> float:
    """Return the used part of the budget in percent."""
    return max(used.cost_usd / cap, used.unknown_cost_requests / unpriced_allowed(cap)) * 100


def _spent(used: Totals) -> str:
    unpriced = plural(used.unknown_cost_requests, "unpriced request")
    return f"{money(used.cost_usd)} spent" + (f" and {unpriced}" if used.unknown_cost_requests else "")
