"""What a session is asked for, as plain values; None means that settings or defaults decide."""

from dataclasses import dataclass

from ml_intern.graph.context import ApprovalMode


@dataclass(frozen=True)
class SessionRequest:
    """Which thread to open, where to work, which model to call, and the limits of a run."""

    headless: bool = False
    """Nobody can be asked."""
    thread: str | None = None
    """The thread to continue: an id, a unique prefix of one, or a title."""
    latest: bool = False
    """Continue the most recent thread of the folder."""
    fork: bool = False
    """Continue on a copy of the thread."""
    ephemeral: bool = False
    """Leave nothing on disk."""
    folder: str | None = None
    add_dirs: tuple[str, ...] = ()
    """Further folders that the tools may use."""
    settings_file: str | None = None
    assignments: tuple[str, ...] = ()
    """Settings as KEY=VALUE."""
    model: str | None = None
    base_url: str | None = None
    """Address of an OpenAI-compatible server for this model."""
    api_key_env: str | None = None
    effort: str | None = None
    stream: bool = True
    max_iterations: int | None = None
    max_budget_usd: float | None = None
    """-1 is unlimited."""
    approval_mode: ApprovalMode | None = None
    sandbox: bool | None = None
    tool_runtime: str | None = None

    @property
    def continues(self) -> bool:
        """Whether an existing thread is opened."""
        return self.latest or self.thread is not None
