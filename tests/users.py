"""Start programs as an ordinary user when the tests run as root."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


def as_ordinary_user() -> tuple[str, ...] | None:
    """Return the words before a command that runs as an ordinary user.

    None if root cannot change its user here, or if the program is in a folder that the user cannot enter.
    """
    if os.getuid() != 0:
        return ()
    return AS_NOBODY if shutil.which("setpriv") and _reaches(Path(sys.executable).with_name("ml-intern")) else None


def _reaches(path: Path) -> bool:
    return subprocess.run([*AS_NOBODY, "test", "-r", path], check=False).returncode == 0


def python_of_ordinary_user() -> tuple[str, dict[str, str]] | None:
    """Return a Python that the ordinary user may start, with its variables; None if there is none of this version."""
    own = os.path.realpath(sys.executable)
    if os.getuid() != 0 or all(folder.stat().st_mode & 1 for folder in Path(own).parents):
        return sys.executable, {}
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    version = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if found is None or subprocess.run([found, "-c", version], check=False).returncode:
        return None
    return found, {"PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])}


@contextmanager
def folder_of_ordinary_user() -> Iterator[Path]:
    """Yield a temporary folder that the ordinary user reaches: root's own ones are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="ml-intern-user-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def give_to_ordinary_user(folder: Path) -> None:
    """Make the ordinary user the owner of a folder and of everything in it."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
