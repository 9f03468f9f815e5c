"""The default sandbox profile for a workspace on this machine: visible interpreters and caches, hidden folders."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.paths import data_home
from ml_intern.safety.secrets.known import without_secrets
from ml_intern.safety.shell.paths import is_credential, is_system, is_within
from ml_intern.sandbox.bubblewrap import Kind, Network, Profile, can_forbid_namespaces
from ml_intern.sandbox.egress import find_upstream_proxy
from ml_intern.sandbox.git.tree import find_git_folders, find_linked_repositories
from ml_intern.sandbox.network_hosts import NO_HOSTS, allowed_hosts
from ml_intern.sandbox.redacted_files import find_redacted_files
from ml_intern.text.word_table import words

_HIDDEN = ("/tmp", "/var/tmp", "/run", "/root", "/home", "/var/spool", "/var/mail", "/mnt/secrets", "/run/secrets")  # noqa: S108
_MASKED = (
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/krb5.keytab",
    "/etc/netrc",
)
_MASKED_FOLDERS = ("/etc", "/etc/ssh", "/etc/sudoers.d", "/etc/ssl/private")
_MASKED_PATTERNS = ("ssh/ssh_host_*_key", "sudoers.d/*", "ssl/private/*")
_DEVICES = ("nvidia*", "dri", "kfd", "accel*")
_INTERPRETERS = words(
    "python3 python uv node ruby perl java julia Rscript conda mamba poetry pixi go rustc cargo ffmpeg git"
)
_MANAGERS = words(
    ".pyenv .nvm .asdf .rbenv .sdkman .volta .rustup miniconda3 anaconda3 miniforge3 mambaforge .conda .pixi"
)
_MAX_CHARACTERS = 10_000
CACHE_STORE = "sandbox_caches"
_UV_FOLDERS = (".local/share/uv/python", ".local/share/uv/tools")
_HF_CACHES = ("hub", "datasets", "xet", "assets")
_GUARDED = ("hooks", "config", "config.worktree", "commondir", "info/attributes")
_REFUSED = words("/ /tmp /var/tmp /etc /home /root /usr /var /mnt /media /opt /srv /dev /proc /sys /run")


@dataclass(frozen=True)
class SandboxRequest:
    """The caller's requirements for a sandbox."""

    workspace: str
    add_dirs: tuple[str, ...] = ()
    network: Network = "off"
    secrets: tuple[str, ...] = ()
    """Names of variables that only this command receives, shown at approval."""
    own_homes: tuple[str, ...] = ()
    """ml-intern's own folders, never visible inside."""
    cache_store: str = ""
    """The folder for what commands write to caches; the data home's by default."""
    removes: tuple[str, ...] = ()
    """Paths that the command removes or moves. Nested repositories in them are cleaned afterwards, not protected."""
    hosts: tuple[str, ...] = ()
    """Additional hosts, .domains or URLs that the user allows with network `list`."""
    kind: Kind = "bubblewrap"


def build_profile(request: SandboxRequest, environment: Mapping[str, str]) -> Profile:
    """Build the profile for this machine. `environment` is the one that commands would have without a sandbox.

    Raises:
        ConfigurationError: the workspace is not allowed as a sandbox folder, such as / or the home folder.
    """
    home = os.path.realpath(environment.get("HOME") or Path.home())
    workspace = check_folder(request.workspace, home)
    added = tuple(check_folder(folder, home) for folder in request.add_dirs)
    store = request.cache_store or str(data_home() / CACHE_STORE)
    if not os.path.isdir(store):  # noqa: PTH112
        Path(store).mkdir(mode=0o700, parents=True, exist_ok=True)
    hidden = hidden_folders(home, (*request.own_homes, store))
    roots = (workspace, *added)
    caches = _caches(environment, home, roots)
    return Profile(
        workspace=workspace,
        home=home,
        added=added,
        caches=caches,
        cache_store=store,
        readable=(
            *_readable(environment, home, hidden, (*roots, *caches)),
            *(path for path in find_linked_repositories(roots) if _is_in(path, hidden)),
        ),
        hidden=tuple(path for path in hidden if path not in roots),
        masked=_masked(tuple(map(_state, _MASKED_FOLDERS))),
        hidden_inside=tuple(path for path in request.own_homes if os.path.isdir(path) and _is_below(path, roots)),  # noqa: PTH112
        redacted=tuple(find_redacted_files(roots)),
        git=tuple(find_git_folders(roots, _GUARDED, tuple(map(os.path.realpath, request.removes)))),
        devices=_devices(_state("/dev")),
        environment=sandbox_environment(environment, request.secrets)
        | dict(_git_identity(environment.get("HOME", home))),
        network=request.network,
        hosts=allowed_hosts(environment, request.hosts) if request.network == "list" else NO_HOSTS,
        upstream=find_upstream_proxy(environment),
        kind=request.kind,
        nested_namespaces=request.kind == "basic" or not can_forbid_namespaces(),
    )


def hidden_folders(home: str, own_homes: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the existing folders whose content commands do not see."""
    return tuple(dict.fromkeys(path for path in (*_HIDDEN, home, *own_homes) if os.path.isdir(path)))  # noqa: PTH112


def check_folder(folder: str, home: str) -> str:
    """Return the resolved path of a folder that a sandbox may write to.

    Raises:
        ConfigurationError: it is /, the home folder or a parent of it, or part of the system.
    """
    path = os.path.realpath(folder)
    if (
        path in _REFUSED
        or is_within(home, path)
        or (is_system(path) and not path.startswith(("/opt/", "/srv/", "/var/")))
    ):
        raise ConfigurationError(f"{path} cannot be used as a sandbox folder", "choose a project folder with -C DIR")
    return path


def _is_below(path: str, roots: Iterable[str]) -> bool:
    real = os.path.realpath(path)
    return any(is_within(real, root) for root in roots)


_State = tuple[int, ...]
"""Device, inode and modification time of a file or folder; () if it does not exist."""


def _state(path: str) -> _State:
    try:
        found = os.stat(path)  # noqa: PTH116  called for many paths before every command
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns)


@lru_cache(maxsize=4)
def _masked(_folders: tuple[_State, ...]) -> tuple[str, ...]:
    """Return the existing files to mask. The states of their folders are the cache key."""
    patterns = (str(path) for pattern in _MASKED_PATTERNS for path in Path("/etc").glob(pattern))
    return tuple(path for path in (*_MASKED, *patterns) if Path(path).is_file())


@lru_cache(maxsize=4)
def _devices(_folder: _State) -> tuple[str, ...]:
    """Return the accelerators. The state of /dev is the cache key."""
    return tuple(str(device) for pattern in _DEVICES for device in sorted(Path("/dev").glob(pattern)))


def cache_folders(environment: Mapping[str, str], home: str) -> tuple[str, ...]:
    """Return uv's cache and the data folders of the Hugging Face cache, without its token and code."""
    cache = environment.get("XDG_CACHE_HOME") or f"{home}/.cache"
    hf_home = environment.get("HF_HOME") or f"{cache}/huggingface"
    default = [environment.get("UV_CACHE_DIR") or f"{cache}/uv", *(f"{hf_home}/{name}" for name in _HF_CACHES)]
    named = [environment[name] for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "TORCH_HOME") if environment.get(name)]
    return tuple(dict.fromkeys([*default, *named, f"{cache}/torch"]))


def _caches(environment: Mapping[str, str], home: str, roots: tuple[str, ...]) -> tuple[str, ...]:
    """Create missing cache folders and return the outermost of them, without those that belong to the workspace."""
    paths = cache_folders(environment, home)
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112
            Path(path).mkdir(parents=True, exist_ok=True)
    return _outermost(paths, roots, tuple(_state(path)[:2] for path in paths))


@lru_cache(maxsize=8)
def _outermost(paths: tuple[str, ...], roots: tuple[str, ...], _identities: tuple[_State, ...]) -> tuple[str, ...]:
    """Resolve cache folders. What the paths are at the moment is part of the cache key."""
    found = list(dict.fromkeys(os.path.realpath(path) for path in paths))
    outside = [path for path in found if not _is_in(path, roots)]
    return tuple(path for path in outside if not any(is_within(path, other) for other in found if other != path))


def _readable(
    environment: Mapping[str, str], home: str, hidden: tuple[str, ...], writable: Sequence[str]
) -> tuple[str, ...]:
    """Return the PATH entries and interpreters inside hidden folders, never the home folder or a parent of it."""
    path = environment.get("PATH", os.defpath).split(os.pathsep)
    on_path = (entry.rstrip("/").removesuffix("/bin") for entry in path if entry.rstrip("/").endswith("/bin"))
    venvs = (environment.get("VIRTUAL_ENV", ""), *(f"{root}/.venv" for root in writable), *on_path)
    places = _Places(
        home=home,
        hidden=hidden,
        writable=tuple(writable),
        entries=tuple(entry for entry in path if entry.startswith("/")),
        managers=(*(f"{home}/{name}" for name in sorted(_MANAGERS)), *(f"{home}/{name}" for name in _UV_FOLDERS)),
        venvs=venvs,
    )
    return _visible(places, tuple(map(_state, places.inputs)))


@dataclass(frozen=True)
class _Places:
    """Where interpreters and programs may be."""

    home: str
    hidden: tuple[str, ...]
    writable: tuple[str, ...]
    """Links in these folders are not followed, because a command may have created them."""
    entries: tuple[str, ...]
    """The absolute entries of PATH."""
    managers: tuple[str, ...]
    venvs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the files and folders that decide what is visible."""
        return (*self.entries, *self.managers, *(file for venv in self.venvs for file in (venv, f"{venv}/pyvenv.cfg")))


@lru_cache(maxsize=8)
def _visible(places: _Places, _states: tuple[_State, ...]) -> tuple[str, ...]:
    """Return what is visible in hidden folders. The states of the inputs are part of the cache key."""
    users = tuple(entry for entry in places.entries if not _is_below(entry, places.writable))
    found = [*places.entries, *places.managers, *_reachable(users, places.hidden)]
    found += [prefix for venv in places.venvs for prefix in _venv(venv)]
    found.append(sys.base_prefix)
    home = places.home
    candidates = [path for path in dict.fromkeys(found) if not is_within(home, path) and path != f"{home}/.local"]
    present = [path for path in candidates if _is_in(path, places.hidden) and os.path.exists(path)]  # noqa: PTH110
    return tuple(path for path in present if not any(is_within(path, other) for other in present if other != path))


def _is_in(path: str, folders: tuple[str, ...]) -> bool:
    return any(is_within(path, folder) for folder in folders)


def _reachable(entries: tuple[str, ...], hidden: tuple[str, ...]) -> tuple[str, ...]:
    """Return interpreters and link targets on PATH."""
    path = os.pathsep.join(entries)
    prefixes = (prefix for name in _INTERPRETERS for prefix in interpreter_folders(shutil.which(name, path=path)))
    return (*prefixes, *_link_targets(entries, hidden))


def interpreter_folders(executable: str | None) -> list[str]:
    """Return the folders an interpreter needs: its own folder and the prefix above bin."""
    if executable is None:
        return []
    real = Path(os.path.realpath(executable))
    prefix = real.parent.parent if real.parent.name in {"bin", "shims"} else real.parent
    # ~/.cargo and similar folders contain credentials next to bin.
    has_credentials = prefix.name.startswith(".") and prefix.name not in _MANAGERS | {".venv"}
    return [str(real.parent)] if has_credentials else [str(prefix), *_venv(str(prefix))]


def _venv(folder: str) -> list[str]:
    """Return a virtual environment and its base Python, if `home` in pyvenv.cfg names a Python installation."""
    settings = Path(folder, "pyvenv.cfg")
    if not folder or not os.access(settings, os.R_OK) or not settings.is_file():
        return []
    with settings.open(encoding="utf-8", errors="replace") as file:
        lines = (line.partition("=") for line in file.read(_MAX_CHARACTERS).splitlines())
    base = next((value.strip() for name, _, value in lines if name.strip() == "home"), "")
    prefix = Path(os.path.realpath(base)).parent
    if not base or not os.access(prefix, os.R_OK | os.X_OK):
        return [folder]
    is_python = any(prefix.glob("bin/python3*")) and any(prefix.glob("lib*/python3*/os.py"))
    return [folder, str(prefix)] if is_python else [folder]


def _link_targets(entries: Iterable[str], hidden: tuple[str, ...]) -> list[str]:
    """Return the programs that links in hidden PATH entries point to."""
    links = [
        link for entry in entries if _is_in(entry, hidden) and os.path.isdir(entry) and os.access(entry, os.R_OK)  # noqa: PTH112
        for link in Path(entry).iterdir() if link.is_symlink()
    ]  # fmt: skip
    targets = (os.path.realpath(link) for link in links[:200])
    return [path for path in targets if os.access(path, os.X_OK) and Path(path).is_file() and not is_credential(path)]


@lru_cache(maxsize=8)
def _git_identity(_home: str) -> tuple[tuple[str, str], ...]:
    """Return name and email for commits, since the user's git settings are not visible inside. Cached per home."""
    command = ["git", "config", "--global", "--get-regexp", r"^user\.(name|email)$"]
    try:
        done = subprocess.run(
            command, cwd="/", env=without_secrets(os.environ), capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    known = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    roles = [(role, part) for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")]
    return tuple(
        (f"GIT_{role}_{part}", known[f"user.{part.lower()}"]) for role, part in roles if f"user.{part.lower()}" in known
    )


_ALLOWED = re.compile(
    r"(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TERM|COLUMNS|LINES|PAGER|GIT_PAGER|GIT_TERMINAL_PROMPT|NO_COLOR|"
    r"FORCE_COLOR|CI|PYTHON\w+|VIRTUAL_ENV|CONDA_(?:PREFIX|DEFAULT_ENV|SHLVL|EXE|PYTHON_EXE)|PYENV_\w+|NVM_DIR|RUSTUP_\w+|CARGO_HOME|"
    r"JAVA_HOME|GOPATH|GOROOT|GOCACHE|LD_LIBRARY_PATH|LIBRARY_PATH|CPATH|PKG_CONFIG_PATH|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS|MAKEFLAGS|"
    r"CUDA_\w+|CUDNN_\w+|NVIDIA_\w+|NCCL_\w+|ROCM_\w+|HIP_\w+|HSA_\w+|XLA_\w+|JAX_\w+|TF_\w+|TORCH\w*|PYTORCH_\w+|"
    r"OMP_\w+|MKL_\w+|OPENBLAS_\w+|NUMEXPR_\w+|TOKENIZERS_PARALLELISM|TRITON_\w+|ACCELERATE_\w+|"
    r"HF_(?:ENDPOINT|HOME|HUB_CACHE|DATASETS_CACHE|ASSETS_CACHE|XET_CACHE|HUB_\w+|DATASETS_\w+|XET_\w+)|TRANSFORMERS_\w+|DATASETS_\w+|"
    r"WANDB_(?:MODE|DISABLED|SILENT|PROJECT|DIR)|MLFLOW_TRACKING_URI|TENSORBOARD_\w+|UV_\w+|PIP_\w+|XDG_CACHE_HOME|"
    r"SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS|GIT_SSL_CAINFO|NIX_SSL_CERT_FILE|"
    r"DEBIAN_FRONTEND|SOURCE_DATE_EPOCH|SEED|RANK|LOCAL_RANK|WORLD_SIZE|MASTER_\w+|ML_INTERN_CALL)\Z"
)
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|KEY|APIKEY|SECRET|PASSWORD|PASSWD|PAT|CREDENTIALS?)\Z")
_LOGIN_IN_URL = re.compile(r"://[^/\s@]+@")


@lru_cache(maxsize=1024)
def _is_visible(name: str) -> bool:
    """Return whether commands see a variable of this name."""
    return _ALLOWED.match(name) is not None and not _SECRET.search(name)


def sandbox_environment(environment: Mapping[str, str], secrets: Iterable[str] = ()) -> dict[str, str]:
    """Return the variables of `environment` that are visible inside; TMPDIR is the sandbox's own /tmp.

    URLs with a login and variables with a secret name are removed unless `secrets` names them.
    """
    allowed = set(secrets)
    visible = {
        name: value
        for name, value in environment.items()
        if name in allowed or (_is_visible(name) and not _LOGIN_IN_URL.search(value))
    }
    return {**visible, "TMPDIR": "/tmp"}  # noqa: S108  inside, /tmp is private to the command
