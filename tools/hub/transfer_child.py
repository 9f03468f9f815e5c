"""Transfer files to or from the Hub, in a child process that can be killed at any moment: `python -I -m` this module.

It reads one JSON line, {work, token, arguments, about}, and writes JSON lines: {log} for progress, then {done}, {error}
or {bug}. It exits when its stdin is closed, because then the parent is gone.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

LOG_SECONDS = 5.0
_STAMP = 200


class Lines:
    """Writes JSON lines, one at a time."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def write(self, **message: Any) -> None:
        """Write one object."""
        with self._lock:
            print(json.dumps(message), file=self._file, flush=True)


class LogLines(logging.Handler):
    """Forwards the library's log, at most once per LOG_SECONDS."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(logging.INFO)
        self._lines = lines
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the first line of the record."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOG_SECONDS
        self._lines.write(log=record.getMessage().splitlines()[0][:_STAMP])


def upload(api: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Upload a file, or the files of a folder, and return the commit."""
    put = api.upload_folder if "folder_path" in arguments else api.upload_file
    done = put(**arguments)
    return {"oid": done.oid, "number": done.pr_num, "url": str(done)}


def download(api: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Download the matching files into a folder."""
    return {"folder": api.snapshot_download(**arguments)}


TRANSFERS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {"upload": upload, "download": download}


def log_progress(folder: Path, lines: Lines) -> None:
    """Report the size of the download folder at intervals."""
    while True:
        time.sleep(LOG_SECONDS)
        total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        lines.write(log=f"{total / 1e6:,.1f} MB downloaded")


def exit_with_stdin() -> None:
    """Exit at once when stdin is closed, because the parent is gone."""
    while sys.stdin.readline():
        pass
    os._exit(1)


def run(request: dict[str, Any], lines: Lines) -> None:
    """Run the requested transfer and report its outcome."""
    from ml_intern.net.hub import hub_api
    from ml_intern.net.hub_errors import to_tool_error

    try:
        api = hub_api(request["token"])
        logger = logging.getLogger("huggingface_hub")
        logger.setLevel(logging.INFO)
        logger.addHandler(LogLines(lines))
        if request["work"] == "download":
            folder = Path(request["arguments"]["local_dir"])
            threading.Thread(target=log_progress, args=(folder, lines), daemon=True).start()
        lines.write(done=TRANSFERS[request["work"]](api, request["arguments"]))
    except Exception as error:  # noqa: BLE001 reported to the parent, which logs bugs
        known = to_tool_error(error, request["about"])
        lines.write(**({"error": str(known)} if known else {"bug": f"{type(error).__name__}: {error}"}))


def main() -> None:
    """Read the request, run it and exit."""
    lines = Lines(sys.stdout)
    sys.stdout = sys.stderr
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=exit_with_stdin, daemon=True).start()
    run(request, lines)
    os._exit(0)


if __name__ == "__main__":
    main()
