"""Faults nobody foresaw: one line for the user, the traceback, redacted, in a log file."""

import time
import traceback
from pathlib import Path

from configs.errors import MLInternError
from configs.paths import private_folder
from safety.redaction import admit


def log_fault(home: Path, thread_id: str, error: BaseException) -> MLInternError:
    """Append the traceback to `home`/logs/errors.log and return the error a user may see."""
    log = private_folder(home / "logs") / "errors.log"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%FT%TZ', time.gmtime())} thread {thread_id}\n")
        file.write(admit("".join(traceback.format_exception(error))))
    return MLInternError(admit(f"internal error: {type(error).__name__}: {error}"), f"the traceback is in {log}")
