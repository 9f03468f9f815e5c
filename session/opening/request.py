"""The request to open a session, as plain values. None means that settings or defaults decide."""

from dataclasses import dataclass

from ml_intern.graph.limits import ApprovalMode, VerifyLevel


@dataclass(frozen=True)
class SessionRequest:
    """The thread, the folder, the model and the limits of a session."""

    headless: bool = False
    """Unattended mode."""
    thread: str | None = None
    """The thread to continue: an id, a unique prefix of one, or a title."""
    latest: bool = False
    """Continue the most recent thread of the folder."""
    fork: bool = False
    """Continue in a copy of the thread."""
    ephemeral: bool = False
    """Save nothing to disk."""
    folder: str | None = None
    add_dirs: tuple[str, ...] = ()
    """Additional folders that the tools may use."""
    settings_file: str | None = None
    assignments: tuple[str, ...] = ()
    """Settings as KEY=VALUE."""
    trust: bool = False
    """Trust the working folder in this session."""
    model: str | None = None
    base_url: str | None = None
    """Address of an OpenAI-compatible server for this model."""
    api_key_env: str | None = None
    effort: str | None = None
    stream: bool = True
    max_iterations: int | None = None
    max_budget_usd: float | None = None
    """-1 is unlimited."""
    strict_budget: bool = False
    """Refuse models of unknown price when there is a budget."""
    patience: str | None = None
    """How long an outage of a model is waited out, such as 8h."""
    approval_mode: ApprovalMode | None = None
    sandbox: bool | None = None
    verify: VerifyLevel | None = None
    locks: tuple[str, ...] = ()
    """Patterns of files that must not change."""
    goal: str | None = None
    """The goal of the thread; "" removes the one it has."""
    holdout: str | None = None
    """The test data that the agent cannot read; "" removes the one of the thread."""
    hidden: tuple[str, ...] = ()
    """Further files that the agent cannot read."""
    shown: tuple[str, ...] = ()
    """Files and folders outside the working folders that commands can read."""
    tool_runtime: str | None = None

    @property
    def continues(self) -> bool:
        """Return whether an existing thread is opened."""
        return self.latest or self.thread is not None
