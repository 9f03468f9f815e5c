"""Report every failure as one line on stderr, `ml-intern: message (remedy)`, and an exit code."""

import errno
import os
import sys
from contextlib import suppress

from ml_intern.configs.errors import MLInternError, TemporaryError, UsageError
from ml_intern.configs.paths import data_home, private_folder

INTERRUPTED = 130


def report(error: BaseException) -> int:
    """Print the error in one line and return its exit code. The traceback of an unexpected one goes to a log file."""
    if isinstance(error, KeyboardInterrupt):
        return say("interrupted", INTERRUPTED)
    if isinstance(error, BrokenPipeError):  # the reader of the output, such as `head`, is gone: no message
        drop_stdout()
        return MLInternError.exit_code
    known = as_known(error)
    return say(str(known), known.exit_code) if known else say(_unforeseen(error), 1)


def as_known(error: BaseException) -> MLInternError | None:
    """Return the error as an MLInternError, or None when it is unexpected."""
    if isinstance(error, MLInternError):
        return error
    if isinstance(error, BrokenPipeError):
        return MLInternError("the output was closed")
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TemporaryError("the disk is full", "free some space and run the command again")
    return _usage_error(error) if "typer" in sys.modules else None


def _usage_error(error: BaseException) -> UsageError | None:
    import typer

    if not isinstance(error, typer.TyperException):
        return None
    text = error.format_message().replace("Value error, ", "").rstrip(".")
    return UsageError(text[:1].lower() + text[1:] if text[1:2].islower() else text, "see --help")


def say(line: str, code: int) -> int:
    """Write the line to stderr and return the exit code."""
    from ml_intern.text.visible import visible

    with suppress(OSError, ValueError):
        print(f"ml-intern: {visible(' '.join(line.split()))}", file=sys.stderr, flush=True)
    return code


def report_line(line: str) -> None:
    """Write an informational line to stderr."""
    say(line, 0)


def drop_stdout() -> None:
    """Discard buffered output, so that the interpreter does not report the closed pipe at exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _unforeseen(error: BaseException) -> str:
    from ml_intern.safety.error_log import log_error
    from ml_intern.safety.secrets.redaction import redact, register_environment

    register_environment()
    try:
        return str(log_error(private_folder(data_home()), "(none)", error))
    except OSError as unwritable:
        return redact(
            f"internal error: {type(error).__name__}: {error} (and the log could not be written: {unwritable})"
        )
