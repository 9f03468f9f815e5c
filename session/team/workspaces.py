"""The folders of the threads of a team's users: one for each thread, in one folder that all machines share."""

from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import SandboxMissing, TemporaryError
from ml_intern.configs.layers import load
from ml_intern.configs.paths import private_folder, workspaces_home
from ml_intern.sandbox.basic.available import available_sandbox

if TYPE_CHECKING:
    from ml_intern.store.store import Store
    from ml_intern.store.team.people.users import Users


def make_workspace(thread_id: str) -> Path:
    """Create the folder of a new thread. Raises TemporaryError."""
    try:
        return private_folder(private_folder(workspaces_home()) / thread_id)
    except OSError as error:
        raise TemporaryError(
            f"the folder of the thread cannot be made in {workspaces_home()}: {error.strerror}",
            "set ML_INTERN_WORKSPACES to a folder that all machines share",
        ) from error


async def needs_sandbox(store: "Store", thread_id: str) -> bool:
    """Return whether a thread belongs to one of several users, who must not see each other's files."""
    return bool(await store.sharing.owner(thread_id)) and len(await store.users.list()) > 1


async def check_sandbox(users: "Users") -> None:
    """Check that there is a sandbox if there are several users. Raises SandboxMissing."""
    if len(await users.list()) < 2:
        return
    settings = load(Path.cwd()).settings.sandbox
    problem = (
        ("sandbox.enabled is false", "") if settings.enabled is False else available_sandbox(settings.kind).problem
    )
    if problem:
        remedy = problem[1] or "enable it in the settings, or remove users with: ml-intern server users remove NAME"
        raise SandboxMissing(f"more than one user needs a sandbox, and {problem[0]}", remedy)
