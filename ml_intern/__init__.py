"""ml-intern: an autonomous ML engineer for the terminal. Folders of the repository are linked here as subpackages."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    """The installed version, read from the package's metadata on first use."""


def __getattr__(name: str) -> Any:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("ml_intern.configs.version").version()
