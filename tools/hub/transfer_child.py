"""Moves files to or from the Hub, in a process of its own that can be ended at any moment: `python -I -m` this module.

It reads one JSON line, {work, token, arguments}, and writes JSON lines: {log} while it goes on, then {done} or {fault}.
When its stdin ends, so does it: nobody waits for it any more.
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

    def write(self, **said: Any) -> None:
        """Write one object."""
        with self._lock:
            print(json.dumps(said), file=self._file, flush=True)


class LogLines(logging.Handler):
    """Passes on what the library logs, at most once in LOG_SECONDS."""

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
    """Upload a file, or the files of a folder. Where they went."""
    put = api.upload_folder if "folder_path" in arguments else api.upload_file
    done = put(**arguments)
    return {"oid": done.oid, "number": done.pr_num, "url": str(done)}


def download(api: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Download the files that match into a folder."""
    return {"folder": api.snapshot_download(**arguments)}


WORKS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {"upload": upload, "download": download}


def watch_growth(folder: Path, lines: Lines) -> None:
    """Say now and then how much is in the folder that is downloaded to."""
    while True:
        time.sleep(LOG_SECONDS)
        there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        lines.write(log=f"{there / 1e6:,.1f} MB are there")


def end_with_stdin() -> None:
    """Nobody waits any more: stop at once."""
    while sys.stdin.readline():
        pass
    os._exit(1)


def run(asked: dict[str, Any], lines: Lines) -> None:
    """Do what was asked and say how it ended."""
    from ml_intern.net.hub import hub_api
    from ml_intern.net.hub_errors import to_tool_error

    try:
        api = hub_api(asked["token"])
        logger = logging.getLogger("huggingface_hub")
        logger.setLevel(logging.INFO)
        logger.addHandler(LogLines(lines))
        if asked["work"] == "download":
            folder = Path(asked["arguments"]["local_dir"])
            threading.Thread(target=watch_growth, args=(folder, lines), daemon=True).start()
        lines.write(done=WORKS[asked["work"]](api, asked["arguments"]))
    except Exception as error:  # noqa: BLE001 told to the parent, which logs what nobody foresaw
        fault = to_tool_error(error, asked["about"])
        lines.write(**({"fault": str(fault)} if fault else {"broken": f"{type(error).__name__}: {error}"}))


def main() -> None:
    """Read what is asked, do it, end."""
    lines = Lines(sys.stdout)
    sys.stdout = sys.stderr
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_stdin, daemon=True).start()
    run(asked, lines)
    os._exit(0)


if __name__ == "__main__":
    main()
