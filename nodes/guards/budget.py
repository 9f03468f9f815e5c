"""What the budget says before the loop goes on: warnings, the question, the end. Reservations are the ledger's."""

from dataclasses import replace
from typing import Any

from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.limits import UNLIMITED
from ml_intern.graph.state import AgentState, Outcome
from ml_intern.store.ledger import UNPRICED_REQUESTS_PER_DOLLAR, Totals

WARN_AT = (50, 80)
"""Per cent of the cap."""


def cap_of(state: AgentState, options: RunOptions) -> float | None:
    """The cap in force in US dollars: what the options say, doubled as often as the user agreed; None is unlimited."""
    if options.max_budget_usd == UNLIMITED:
        return None
    return float(options.max_budget_usd * 2 ** (state.get("guard") or {}).get("raised", 0))


def with_cap(state: AgentState, options: RunOptions) -> RunOptions:
    """The options with the cap in force, for whoever spends on behalf of this thread."""
    cap = cap_of(state, options)
    return options if cap is None else replace(options, max_budget_usd=cap)


def hard_cap(state: AgentState, options: RunOptions) -> float | None:
    """The cap a request must not exceed: with nobody to ask it is refused before it is sent."""
    return cap_of(state, options) if options.headless or options.child else None


def check_budget(used: Totals, cap: float, guard: dict[str, int], emit: Emit) -> bool:
    """Whether the cap is used up. Says once at 50 and at 80 per cent how far it is."""
    share = max(used.cost_usd / cap, used.unknown_cost_requests / (cap * UNPRICED_REQUESTS_PER_DOLLAR)) * 100
    passed = max((level for level in WARN_AT if share >= level), default=0)
    if passed > guard.get("warned", 0):
        guard["warned"] = passed
        emit("budget", spent_usd=used.cost_usd, cap_usd=cap, unpriced_requests=used.unknown_cost_requests)
    return share >= 100


def used_up(used: Totals, cap: float) -> Outcome:
    """The end of a turn whose budget is used up and nobody can be asked."""
    return Outcome(status="limit", text=f"The budget of {cap:.2f} USD is used up: {_spent(used)}", exit_code=124)


def question(used: Totals, cap: float, raised: int) -> dict[str, Any]:
    """What the user is asked when the cap is reached."""
    text = f"{_spent(used)}; the cap is {cap:.2f} USD. Continue with {cap:.2f} USD more?"
    return {"id": f"question:budget:{raised}", "text": text, "kind": "budget"}


def _spent(used: Totals) -> str:
    unpriced = f" and {used.unknown_cost_requests} requests of unknown price" if used.unknown_cost_requests else ""
    return f"{used.cost_usd:.2f} USD{unpriced} are spent"
