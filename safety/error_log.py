"""Faults nobody foresaw: one line for the user, the traceback, redacted, in a log file."""

import time
import traceback
from pathlib import Path

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.paths import private_folder
from ml_intern.safety.secrets.redaction import redact


def log_error(home: Path, thread_id: str, error: BaseException) -> MLInternError:
    """Append the traceback to `home`/logs/errors.log and return the error a user may see.

    A log that cannot be written is said in the remedy: what led here may be a full disk.
    """
    words = redact(f"internal error: {type(error).__name__}: {error}")
    log = home / "logs" / "errors.log"
    try:
        private_folder(log.parent)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%FT%TZ', time.gmtime())} thread {thread_id}\n")
            file.write(redact("".join(traceback.format_exception(error))))
    except OSError as fault:
        return MLInternError(words, f"the traceback could not be written to {log}: {fault.strerror}")
    return MLInternError(words, f"the traceback is in {log}")
