"""Unexpected errors: one line for the user, and the redacted traceback in a log file."""

import time
import traceback
from pathlib import Path

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.paths import private_folder


def log_error(home: Path, thread_id: str, error: BaseException) -> MLInternError:
    """Append the traceback to `home`/logs/errors.log and return the error to show to the user.

    The remedy says where the traceback is, or why it could not be written (the cause may be a full disk).
    """
    from ml_intern.safety.secrets.redaction import redact

    message = redact(f"internal error: {type(error).__name__}: {error}")
    log = home / "logs" / "errors.log"
    try:
        private_folder(log.parent)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%FT%TZ', time.gmtime())} thread {thread_id}\n")
            file.write(redact("".join(traceback.format_exception(error))))
    except OSError as unwritable:
        return MLInternError(message, f"the traceback could not be written to {log}: {unwritable.strerror}")
    return MLInternError(message, f"the traceback is in {log}")
