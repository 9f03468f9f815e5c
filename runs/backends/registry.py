"""The compute backends by name: built-in ones, and those of packages in the entry point group `ml_intern.compute`."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.version import plugins
from ml_intern.graph.limits import JOB_LIMIT_S, MAX_NODES
from ml_intern.runs.backends.base import Backend, BackendSpec

if TYPE_CHECKING:
    from ml_intern.store.store import Store

ENTRY_POINTS = "ml_intern.compute"
_OPENED: "WeakKeyDictionary[Store, dict[str, Backend]]" = WeakKeyDictionary()


def backend_of(name: str, store: "Store") -> Backend:
    """Return the backend with this name for an open store. Raises ConfigurationError like `backend_spec`."""
    opened = _OPENED.setdefault(store, {})
    if name not in opened:
        opened[name] = backend_spec(name).open(store)
    return opened[name]


def backend_spec(name: str) -> BackendSpec:
    """Return the declaration of a backend, importing its package unless it is built in.

    Raises:
        ConfigurationError: the backend is not installed, or its package cannot be loaded.
    """
    if name in BUILTIN:
        return BUILTIN[name]
    if name not in _installed():
        known = ", ".join(backend_names())
        raise ConfigurationError(
            f"unknown compute backend {name!r}", f"use one of {known}, or install the package that adds it"
        )
    return _loaded(_installed()[name])


def backend_names() -> tuple[str, ...]:
    """Return the names of the backends for any command, the built-in ones first. No package is imported."""
    return (*(name for name, spec in BUILTIN.items() if not spec.is_agent), *_installed())


def _installed() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in plugins(ENTRY_POINTS) if entry.name not in BUILTIN}


def _loaded(entry: EntryPoint) -> BackendSpec:
    origin = f"the compute backend {entry.name} of the package {entry.dist.name if entry.dist else entry.module}"
    try:
        spec = entry.load()
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigurationError(f"{origin} cannot be loaded: {reason}", "update or uninstall the package") from error
    if not isinstance(spec, BackendSpec) or spec.name != entry.name:
        raise ConfigurationError(f"{origin} is not a BackendSpec of that name", "update or uninstall the package")
    return spec


def _open_local(store: "Store") -> Backend:
    from ml_intern.runs.backends.local import LocalBackend

    return LocalBackend(store.home)


def _open_hub(_store: "Store") -> Backend:
    from ml_intern.runs.backends.hub_jobs import HubJobs

    return HubJobs()


def _open_sandbox(store: "Store") -> Backend:
    from ml_intern.runs.backends.sandbox_runs import SandboxRuns

    return SandboxRuns(store)


def _open_remote(store: "Store") -> Backend:
    from ml_intern.runs.backends.remote_runs import OwnMachines

    return OwnMachines(store)


def _open_slurm(store: "Store") -> Backend:
    from ml_intern.runs.remote.slurm_clusters import SlurmClusters

    return SlurmClusters(store)


def _open_ray(store: "Store") -> Backend:
    from ml_intern.runs.ray.jobs import RayJobs

    return RayJobs(store)


def _open_pool(store: "Store") -> Backend:
    from ml_intern.runs.backends.pool import Pool

    return Pool(store)


def _open_search(store: "Store") -> Backend:
    from ml_intern.runs.backends.search_process import SearchProcesses

    return SearchProcesses(store)


LOCAL = BackendSpec("local", _open_local, poll_seconds=0.5)
HUB = BackendSpec(
    "hub",
    _open_hub,
    is_remote=True,
    is_disposable=True,
    has_prices=True,
    selects_hardware=True,
    default_limit_s=JOB_LIMIT_S,
    poll_seconds=1.5,
)
SANDBOX = BackendSpec("sandbox", _open_sandbox, is_remote=True)
SSH = BackendSpec("ssh", _open_remote, is_remote=True, needs_target=True)
SLURM = BackendSpec(
    "slurm",
    _open_slurm,
    is_remote=True,
    max_nodes=MAX_NODES,
    selects_gpus=True,
    has_queue=True,
    needs_target=True,
    poll_seconds=2.0,
)
RAY = BackendSpec("ray", _open_ray, is_remote=True, selects_gpus=True, needs_target=True, poll_seconds=2.0)
POOL = BackendSpec("pool", _open_pool, is_remote=True, max_nodes=MAX_NODES, selects_gpus=True, needs_target=True)
"""Its members decide whether they have nodes and GPUs to choose from."""
SEARCH = BackendSpec("search", _open_search, is_agent=True)
BUILTIN: Mapping[str, BackendSpec] = {spec.name: spec for spec in (LOCAL, HUB, SANDBOX, SSH, SLURM, RAY, POOL, SEARCH)}
