"""Limits of a run with their defaults, reasoning efforts and approval modes, for settings, options, help and tools."""

from typing import Literal, get_args

UNLIMITED = -1
MAX_ITERATIONS = 300
"""Model calls in a turn."""
INTERACTIVE_BUDGET_USD = 5.0
"""Spending at which an interactive run asks whether to continue. It asks again each time spending doubles."""
HEADLESS_BUDGET_USD = 20.0
"""Spending at which a headless run ends."""
COMPACT_THRESHOLD = 170_000
"""Tokens above which the conversation is compacted, at most 90 % of the model's context window."""
TOOL_TIMEOUT_S = 120.0
"""Seconds until a tool call is stopped, unless the tool sets another limit."""
RESULT_CHARACTERS = 20_000
"""Length of a tool result above which its middle is moved to an artifact file."""
MODEL_IDLE_S = 300.0
"""Seconds without content after which a model request counts as stalled."""
PATIENCE_S = 300.0
"""Seconds for which an outage of a model is waited out while a person is there."""
UNATTENDED_PATIENCE_S = 3600.0
"""The same in unattended mode."""
RUN_LIMIT_S = 24 * 3600.0
"""Seconds until a background run is stopped, unless its backend or the call sets another limit."""
JOB_LIMIT_S = 2 * 3600.0
"""Seconds until a run that is billed by the hour is stopped."""
MAX_NODES = 1_000
"""Machines that one run of a cluster may ask for."""

ApprovalMode = Literal["ask", "accept-edits", "auto", "yolo", "plan"]
ASKING_MODES: frozenset[ApprovalMode] = frozenset({"ask", "accept-edits"})
"""The modes in which a person answers questions about calls."""

VerifyLevel = Literal["off", "quick", "standard", "strict"]
VERIFY_LEVELS: tuple[VerifyLevel, ...] = get_args(VerifyLevel)
"""The levels of checks before an answer counts as done, from none to all."""


def reaches(level: str, wanted: VerifyLevel) -> bool:
    """Return whether a level of checks includes another one."""
    return level in VERIFY_LEVELS and VERIFY_LEVELS.index(level) >= VERIFY_LEVELS.index(wanted)


Effort = Literal["off", "none", "minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
"""Reasoning efforts, lowest first; off sends none."""


def sent_effort(level: str | None) -> str | None:
    """Return the effort to send, or None for the model's default."""
    return None if level == "off" else level
