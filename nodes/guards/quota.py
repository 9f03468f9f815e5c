"""The quota of a sub-agent. Near its quota a sub-agent is asked to report while it still can."""

from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.limits import UNLIMITED
from ml_intern.graph.state import AgentState
from ml_intern.text.formatting import money, plural

REPORT_AT = 0.8
"""The fraction of its quota after which a sub-agent must report instead of calling tools."""
MAX_REMINDERS = 2


async def quota_used(state: AgentState, options: RunOptions, services: Services, thread_id: str) -> tuple[float, str]:
    """Return the largest fraction of a limit that a sub-agent has used, and a description of it."""
    parts: list[tuple[float, float, str]] = []
    iterations = state.get("iteration", 0)
    words = f"{iterations} of {plural(options.max_iterations, 'model call')}"
    parts.append((iterations, options.max_iterations, words))
    if options.share_tokens != UNLIMITED or options.share_usd != UNLIMITED:
        own = await services.store.ledger.thread_total(options.root or thread_id, thread_id)
        tokens = own.input_tokens + own.output_tokens
        parts.append((tokens, options.share_tokens, f"{tokens:,} of {plural(options.share_tokens, 'token')}"))
        parts.append((own.cost_usd, options.share_usd, f"{money(own.cost_usd)} of {money(options.share_usd)}"))
    used = [(amount / limit, words) for amount, limit, words in parts if limit > 0]
    return max(used, default=(0.0, ""))
