"""Every error a user can meet, in one tree, and the exit codes they end in.

MLInternError                      1
├── UsageError                     2    wrong arguments; nothing was started
├── ApprovalNeeded                 3    nobody could be asked; the thread waits
├── TemporaryError                75    a passing fault; try again
│   ├── ThreadLocked                    another process holds the thread
│   ├── DiskFull                        the store could not write
│   └── ProviderUnavailable             retries of a model call are used up
├── ConfigurationError            78    needs a change of settings, keys or files
│   ├── ModelUnknown                    no route for the model id, or the provider does not know it
│   ├── KeyMissing                      no key for the route, or the provider refused it
│   ├── DatabaseUnusable                newer schema, damaged, or somebody else's file
│   └── SandboxMissing                  asked for and not installed
├── LimitReached                 124    iterations, time or money
└── ModelFailed                    1    the model refused, or its replies stayed unusable
"""

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "failed",
    2: "usage: wrong arguments, nothing was started",
    3: "waits for an approval nobody could be asked for; the thread is resumable",
    75: "a passing fault (provider, lock held, disk full); try again",
    78: "configuration (no key, unknown model, sandbox asked for and missing, newer or damaged database)",
    124: "a cap was hit (iterations, time, money)",
    130: "interrupted (SIGINT)",
    143: "terminated (SIGTERM)",
}


class MLInternError(Exception):
    """One line for the user, the remedy, and the exit code the program ends with."""

    exit_code: int = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class UsageError(MLInternError):
    """Wrong arguments; nothing was started."""

    exit_code = 2


class ApprovalNeeded(MLInternError):
    """An approval is pending and nobody can be asked."""

    exit_code = 3


class TemporaryError(MLInternError):
    """A passing fault: the same command may succeed later."""

    exit_code = 75


class ThreadLocked(TemporaryError):
    """Another process is running this thread."""


class DiskFull(TemporaryError):
    """The store could not write for want of space."""


class ProviderUnavailable(TemporaryError):
    """The provider of the model stayed unavailable over every retry."""


class ConfigurationError(MLInternError):
    """Settings, keys or files have to change first."""

    exit_code = 78


class ModelUnknown(ConfigurationError):
    """There is no route for the model id, or its provider does not know it."""


class KeyMissing(ConfigurationError):
    """The key for a route is not set, or the provider refused it."""


class DatabaseUnusable(ConfigurationError):
    """The thread database is newer, damaged, or not ours to open."""


class SandboxMissing(ConfigurationError):
    """A sandbox was asked for and is not installed."""


class LimitReached(MLInternError):
    """A cap on iterations, time or money was hit."""

    exit_code = 124


class ModelFailed(MLInternError):
    """The model refused, or its replies stayed unusable."""
