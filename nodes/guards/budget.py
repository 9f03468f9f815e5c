"""The budget check before the loop continues: warnings, the question and the end. The ledger reserves costs."""

from dataclasses import replace
from typing import Any

from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.limits import UNLIMITED
from ml_intern.graph.state import AgentState, Outcome
from ml_intern.store.ledger import Totals, unpriced_allowed
from ml_intern.text.formatting import money, plural

WARN_AT = (50, 80)
"""Percent of the cap."""


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
    share = max(used.cost_usd / cap, used.unknown_cost_requests / unpriced_allowed(cap)) * 100
    passed = max((level for level in WARN_AT if share >= level), default=0)
    if passed > guard.get("warned", 0):
        guard["warned"] = passed
        emit("budget", spent_usd=used.cost_usd, cap_usd=cap, unpriced_requests=used.unknown_cost_requests)
    return share >= 100


def budget_exhausted(used: Totals, cap: float) -> Outcome:
    """Return the outcome of an unattended turn that has used up its budget."""
    return Outcome(status="limit", text=f"The budget of {money(cap)} is used up: {_spent(used)}", exit_code=124)


def question(used: Totals, cap: float, raised: int) -> dict[str, Any]:
    """Return the question to the user when the cap is reached."""
    text = f"{_spent(used)} of a budget of {money(cap)}. Continue with {money(cap)} more?"
    return {"id": f"question:budget:{raised}", "text": text, "kind": "budget"}


def _spent(used: Totals) -> str:
    unpriced = plural(used.unknown_cost_requests, "unpriced request")
    return f"{money(used.cost_usd)} spent" + (f" and {unpriced}" if used.unknown_cost_requests else "")
