"""The files of a project, for the completion of `@path`."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ml_intern.sandbox.git.reader import open_git

MAX_FILES = 50_000
GIT_S = 10.0
LISTING = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")


def project_files(folder: Path) -> Sequence[str]:
    """Return the files in a folder of a git repository, without ignored ones; none outside a repository."""
    try:
        with open_git(LISTING, folder) as git:
            found = git.run(seconds=GIT_S, cwd=folder) or b""
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return [os.fsdecode(name) for name in found.split(b"\0")[:MAX_FILES] if name]
