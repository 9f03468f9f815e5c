"""The processes that the web server starts: the one that reads threads, and sessions."""

from typing import Final

from ml_intern.session.wire.children import ChildProcesses

PROCESSES: Final = ChildProcesses(detached=True)
