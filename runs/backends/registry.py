"""Who carries runs out, by name: one of each for an open store."""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ml_intern.runs.backends.base import Backend
from ml_intern.runs.backends.local import LocalBackend

if TYPE_CHECKING:
    from ml_intern.store.store import Store

_OPENED: "WeakKeyDictionary[Store, dict[str, Backend]]" = WeakKeyDictionary()


def backend_of(name: str, store: "Store") -> Backend:
    """The backend of that name. Raises KeyError for another name."""
    opened = _OPENED.setdefault(store, {})
    if name not in opened:
        opened[name] = _made(name, store)
    return opened[name]


def _made(name: str, store: "Store") -> Backend:
    if name == "local":
        return LocalBackend(store.home)
    if name == "hub":
        from ml_intern.runs.backends.hub_jobs import HubJobs

        return HubJobs()
    if name == "sandbox":
        from ml_intern.runs.backends.sandbox_runs import SandboxRuns

        return SandboxRuns(store)
    raise KeyError(name)
