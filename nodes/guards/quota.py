"""The quota of a sub-agent. Near its quota a sub-agent is asked to report while it still can."""

from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.limits import UNLIMITED
from ml_intern.graph.state import AgentState

REPORT_AT = 0.8
"""The fraction of its quota after which a sub-agent must report instead of calling tools."""
MAX_REMINDERS = 2


async def quota_used(state: AgentState, options: RunOptions, services: Services, thread_id: str) -> tuple[float, str]:
    """Return the largest fraction of a limit that a sub-agent has used, and a description of it."""
    parts: list[tuple[float, float, str]] = [
        (state.get("iteration", 0), options.max_iterations, "{:.0f} of {:.0f} model calls")
    ]
    if options.share_tokens != UNLIMITED or options.share_usd != UNLIMITED:
        own = await services.store.ledger.thread_total(options.root or thread_id, thread_id)
        parts.append((own.input_tokens + own.output_tokens, options.share_tokens, "{:,.0f} of {:,.0f} tokens"))
        parts.append((own.cost_usd, options.share_usd, "{:.2f} of {:.2f} USD"))
    used = [(amount / limit, words.format(amount, limit)) for amount, limit, words in parts if limit > 0]
    return max(used, default=(0.0, ""))
