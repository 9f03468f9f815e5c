"""All errors a user can see, in one tree, with their exit codes.

MLInternError                      1
├── UsageError                     2    invalid arguments; nothing was started
├── ApprovalNeeded                 3    approval pending in unattended mode; the thread can be resumed
├── TemporaryError                75    temporary; try again
│   ├── ThreadLocked                    another process uses the thread
│   ├── DiskFull                        the store could not write
│   └── ProviderUnavailable             all retries of a model call failed
├── ConfigurationError            78    settings, keys or files must change
│   ├── ModelUnknown                    no route for the model id, or the provider does not know it
│   ├── KeyMissing                      no API key, or the provider rejected it
│   ├── DatabaseUnusable                newer schema, damaged, or another program's file
│   └── SandboxMissing                  required, but not available
├── LimitReached                 124    iterations, time or money
└── ModelFailed                    1    the model refused, or its replies were unusable
"""

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "failed",
    2: "invalid arguments; nothing was started",
    3: "approval pending in unattended mode; the thread can be resumed",
    4: "contradicted: a claim of the answer does not agree with the evidence, or a locked file changed",
    75: "temporary error (provider, locked thread, full disk); try again",
    78: "configuration error (API key, model id, unknown price with a strict budget, sandbox or database)",
    124: "a limit was reached (iterations, time, budget)",
    130: "interrupted (SIGINT)",
    143: "terminated (SIGTERM)",
}


class MLInternError(Exception):
    """A one-line message for the user, the remedy, and the exit code."""

    exit_code: int = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class UsageError(MLInternError):
    """The arguments are invalid; nothing was started."""

    exit_code = 2


class ApprovalNeeded(MLInternError):
    """An approval is pending in unattended mode."""

    exit_code = 3


class TemporaryError(MLInternError):
    """A temporary error: the same command may succeed later."""

    exit_code = 75


class ThreadLocked(TemporaryError):
    """Another process is running this thread."""


class DiskFull(TemporaryError):
    """The disk is full."""


class ProviderUnavailable(TemporaryError):
    """The model's provider was unavailable in every retry."""


class ConfigurationError(MLInternError):
    """Settings, keys or files must change first."""

    exit_code = 78


class ModelUnknown(ConfigurationError):
    """The model id has no route, or its provider does not know it."""


class KeyMissing(ConfigurationError):
    """The API key of a route is not set, or the provider rejected it."""


class DatabaseUnusable(ConfigurationError):
    """The thread database has a newer schema, is damaged, or belongs to another program."""


class SandboxMissing(ConfigurationError):
    """A sandbox is required, but not available."""


class LimitReached(MLInternError):
    """A limit on iterations, time or spending was reached."""

    exit_code = 124


class ModelFailed(MLInternError):
    """The model refused, or its replies were unusable."""
