"""The folders of ml-intern's files, its database, and how its small files are replaced.

ML_INTERN_HOME moves all folders (data, cache, trust, user settings).
"""

import os
import tempfile
from pathlib import Path

import platformdirs

APP = "ml-intern"
DATABASE_VARIABLE = "ML_INTERN_DATABASE"
SERVER_VARIABLE = "ML_INTERN_SERVER"
PROMPTS = Path(__file__).parent / "prompts"
"""The folder of the prompt templates."""


def data_home() -> Path:
    """Return the folder of the thread database, the artifacts and the locks."""
    override = os.environ.get("ML_INTERN_HOME")
    return Path(override).expanduser().absolute() if override else Path(platformdirs.user_data_dir(APP))


def cache_home() -> Path:
    """Return the folder of files that can be downloaded or built again."""
    return data_home() / "cache" if os.environ.get("ML_INTERN_HOME") else Path(platformdirs.user_cache_dir(APP))


def settings_home() -> Path:
    """Return the folder of the user's settings file."""
    return data_home() if os.environ.get("ML_INTERN_HOME") else Path(platformdirs.user_config_dir(APP))


def database_url() -> str:
    """Return the address of the PostgreSQL database with the threads; "" if they are in a file of the data home."""
    return os.environ.get(DATABASE_VARIABLE, "")


def workspaces_home() -> Path:
    """Return the folder that has the working folders of the threads of a team's users."""
    override = os.environ.get("ML_INTERN_WORKSPACES")
    home = data_home()
    return Path(override).expanduser().absolute() if override else home.with_name(f"{home.name}-workspaces")


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner can open (0700), and return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def replace_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write `text` to a file that replaces `path` once it is complete and on disk. Other processes see either file."""
    descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(fresh).replace(path)
    except OSError:
        Path(fresh).unlink()
        raise
