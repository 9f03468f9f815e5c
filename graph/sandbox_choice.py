"""Whether the commands of a run are behind the OS sandbox, and with which network."""

import os
from collections.abc import Sequence
from pathlib import Path

from configs.errors import ConfigurationError, SandboxMissing
from configs.programs import keep_out_of_path
from configs.settings import SandboxSettings
from graph.context import Sandbox
from safety.sandbox import missing
from safety.sandbox_profile import check_folder


def choose_sandbox(settings: SandboxSettings, folders: Sequence[str]) -> tuple[Sandbox, str]:
    """The wall of a run over these folders; and a note when there is none although one was not declined.

    From here on no program of these folders is started outside of it, unless they are more than a project.

    Raises:
        SandboxMissing: asked for, and not to be had.
    """
    unfit = _unfit(folders)
    if unfit is None:
        keep_out_of_path(folders)
    wanted = settings.enabled
    if wanted is False:
        return "none", ""
    problem = missing() or unfit
    if problem is None:
        return settings.network, ""
    if wanted:
        raise SandboxMissing(*problem)
    return "none", f"commands run without the OS sandbox: {problem[0]} ({problem[1]})"


def _unfit(folders: Sequence[str]) -> tuple[str, str] | None:
    try:
        for folder in folders:
            check_folder(folder, os.path.realpath(Path.home()))
    except ConfigurationError as error:
        return error.message, error.remedy
    return None
