"""The home folder of a command in the basic sandbox: links to what it may see of the user's, and caches of its own."""

import os
from collections.abc import Mapping
from pathlib import Path

from ml_intern.safety.shell.paths import is_within
from ml_intern.sandbox.bubblewrap import Profile
from ml_intern.sandbox.caches.overlay import start_pruning
from ml_intern.sandbox.caches.store import cache_folder

_CACHE_VARIABLES = (
    "XDG_CACHE_HOME", "UV_CACHE_DIR", "HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ASSETS_CACHE",
    "HF_XET_CACHE", "TORCH_HOME",
)  # fmt: skip


def prepare_home(own: Path, profile: Profile, private: Mapping[str, str]) -> dict[str, str]:
    """Create the command's folders, and return the variables that name them.

    What the command may see of the user's home is linked into its own one, with private folders instead of the caches.
    """
    home = own / "home"
    for folder in (home, own / "tmp"):
        folder.mkdir(mode=0o700)
    visible = [path for path in (*profile.readable, *profile.writable, *profile.roots) if is_within(path, profile.home)]
    targets = {**{path: path for path in sorted(visible)}, **private}
    linked: list[str] = []
    for path, target in targets.items():
        if not any(is_within(path, other) for other in linked):
            linked.append(path)
            link = _place(path, own, profile.home)
            link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            link.symlink_to(target)
    given = {name: profile.environment[name] for name in _CACHE_VARIABLES if profile.environment.get(name)}
    caches = {name: str(_place(os.path.realpath(value), own, profile.home)) for name, value in given.items()}
    return {**caches, "HOME": str(home), "TMPDIR": str(own / "tmp")}


def _place(path: str, own: Path, home: str) -> Path:
    """Return where a path of the user's lies in the command's folder."""
    return own / "home" / os.path.relpath(path, home) if is_within(path, home) else own / "other" / path.lstrip("/")


def private_caches(profile: Profile) -> dict[str, str]:
    """Return the folder that the command uses instead of each of the user's caches; it belongs to the workspace."""
    if not profile.caches:
        return {}
    start_pruning(profile.cache_store)
    folder = cache_folder(profile.cache_store, profile.workspace, profile.caches)
    return {cache.path: cache.private for cache in folder.caches}
