"""Who carries runs out, by name: one of each for an open store."""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tools.compute.backend import Backend
from tools.compute.local import LocalBackend

if TYPE_CHECKING:
    from store.store import Store

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
        from tools.compute.hub_jobs import HubJobs

        return HubJobs()
    if name == "sandbox":
        from tools.compute.sandbox_runs import SandboxRuns

        return SandboxRuns(store)
    raise KeyError(name)
