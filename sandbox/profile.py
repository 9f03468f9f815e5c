"""The default profile for a workspace on this machine: which interpreters and caches go in, what is hidden."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_intern.configs.errors import ConfigurationError
from ml_intern.safety.secrets.known import without_secrets
from ml_intern.safety.shell.paths import is_credential, is_system, is_within
from ml_intern.sandbox.bubblewrap import Network, Profile, can_forbid_namespaces
from ml_intern.sandbox.covered_files import covered_files
from ml_intern.sandbox.egress import upstream_of
from ml_intern.sandbox.git_guard import git_folders
from ml_intern.sandbox.network_hosts import NO_HOSTS, hosts_for
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
_MASKED_PATTERNS = ("ssh/ssh_host_*_key", "sudoers.d/*", "ssl/private/*")
_DEVICES = ("nvidia*", "dri", "kfd", "accel*")
_INTERPRETERS = words(
    "python3 python uv node ruby perl java julia Rscript conda mamba poetry pixi go rustc cargo ffmpeg git"
)
_MANAGERS = words(
    ".pyenv .nvm .asdf .rbenv .sdkman .volta .rustup miniconda3 anaconda3 miniforge3 mambaforge .conda .pixi"
)
_MAX_CHARACTERS = 10_000
_HF_CACHES = ("hub", "datasets", "xet", "assets")
_GUARDED = ("hooks", "config", "config.worktree", "commondir", "info/attributes")
_REFUSED = words("/ /tmp /var/tmp /etc /home /root /usr /var /mnt /media /opt /srv /dev /proc /sys /run")


@dataclass(frozen=True)
class SandboxRequest:
    """What a caller wants of a sandbox."""

    workspace: str
    add_dirs: tuple[str, ...] = ()
    network: Network = "off"
    secrets: tuple[str, ...] = ()
    """Names of variables that this command alone gets, shown at approval."""
    own_homes: tuple[str, ...] = ()
    """ml-intern's own folders; never seen inside."""
    hosts: tuple[str, ...] = ()
    """What the user allows besides with network `list`: hosts, .domains, URLs."""


def profile_for(wish: SandboxRequest, environment: Mapping[str, str]) -> Profile:
    """Look at this machine and build the profile; `environment` is the one commands would have without a sandbox.

    Raises:
        ConfigurationError: the workspace is a folder that must not be handed over, as / or the home.
    """
    home = os.path.realpath(environment.get("HOME") or Path.home())
    workspace = check_folder(wish.workspace, home)
    added = tuple(check_folder(folder, home) for folder in wish.add_dirs)
    hidden = tuple(dict.fromkeys(path for path in (*_HIDDEN, home, *wish.own_homes) if Path(path).is_dir()))
    roots, caches = (workspace, *added), tuple(_caches(environment, home))
    return Profile(
        workspace=workspace,
        home=home,
        added=added,
        writable=caches,
        readable=tuple(_readable(environment, home, hidden, (*roots, *caches))),
        hidden=tuple(path for path in hidden if path not in roots),
        masked=tuple(_masked()),
        hidden_inside=tuple(path for path in wish.own_homes if Path(path).is_dir() and _is_below(path, roots)),
        covered=tuple(covered_files(roots)),
        git=tuple(git_folders(roots, _GUARDED)),
        devices=tuple(str(device) for pattern in _DEVICES for device in sorted(Path("/dev").glob(pattern))),
        environment=inside_environment(environment, wish.secrets) | dict(_git_identity(environment.get("HOME", home))),
        network=wish.network,
        hosts=hosts_for(environment, wish.hosts) if wish.network == "list" else NO_HOSTS,
        upstream=upstream_of(environment),
        nested_namespaces=not can_forbid_namespaces(),
    )


def check_folder(folder: str, home: str) -> str:
    """The resolved path of a folder that may be handed to a sandbox.

    Raises:
        ConfigurationError: it is /, the home or above it, or part of the system.
    """
    path = os.path.realpath(folder)
    if (
        path in _REFUSED
        or is_within(home, path)
        or (is_system(path) and not path.startswith(("/opt/", "/srv/", "/var/")))
    ):
        raise ConfigurationError(f"{path} cannot be the folder of a sandbox", "work in a folder of its own: -C DIR")
    return path


def _is_below(path: str, roots: Iterable[str]) -> bool:
    real = os.path.realpath(path)
    return any(is_within(real, root) for root in roots)


def _masked() -> Iterator[str]:
    patterns = (str(path) for pattern in _MASKED_PATTERNS for path in Path("/etc").glob(pattern))
    yield from (path for path in (*_MASKED, *patterns) if Path(path).is_file())


def cache_folders(environment: Mapping[str, str], home: str) -> tuple[str, ...]:
    """uv's cache and the data of the Hugging Face cache. Its token and its code stay outside."""
    cache = environment.get("XDG_CACHE_HOME") or f"{home}/.cache"
    hf_home = environment.get("HF_HOME") or f"{cache}/huggingface"
    wanted = [environment.get("UV_CACHE_DIR") or f"{cache}/uv", *(f"{hf_home}/{name}" for name in _HF_CACHES)]
    named = [environment[name] for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "TORCH_HOME") if environment.get(name)]
    return tuple(dict.fromkeys([*wanted, *named, f"{cache}/torch"]))


def _caches(environment: Mapping[str, str], home: str) -> Iterator[str]:
    """The cache folders, made when missing: what is written to one that is not there would be lost."""
    for path in cache_folders(environment, home):
        Path(path).mkdir(parents=True, exist_ok=True)
        yield os.path.realpath(path)


def _readable(
    environment: Mapping[str, str], home: str, hidden: tuple[str, ...], writable: Sequence[str]
) -> Iterator[str]:
    """PATH entries and interpreters that lie in hidden folders, never the home itself or what holds it.

    What lies in `writable` folders, commands could have made: nothing is bound because a link there leads to it.
    """
    entries = tuple(entry for entry in environment.get("PATH", os.defpath).split(os.pathsep) if entry.startswith("/"))
    users = tuple(entry for entry in entries if not _is_below(entry, writable))
    found = [
        *entries,
        *(f"{home}/{name}" for name in _MANAGERS),
        f"{home}/.local/share/uv/python",
        f"{home}/.local/share/uv/tools",
        *_reached(users, tuple(_changed(entry) for entry in users), hidden),
    ]
    venvs = (environment.get("VIRTUAL_ENV", ""), *(f"{root}/.venv" for root in writable))
    found += [prefix for venv in venvs for prefix in _venv(venv)]
    found.append(sys.base_prefix)
    wanted = [path for path in dict.fromkeys(found) if not is_within(home, path) and path != f"{home}/.local"]
    present = [path for path in wanted if any(is_within(path, folder) for folder in hidden) and Path(path).exists()]
    yield from (path for path in present if not any(is_within(path, other) for other in present if other != path))


@lru_cache(maxsize=8)
def _reached(entries: tuple[str, ...], _changed_at: tuple[int, ...], hidden: tuple[str, ...]) -> tuple[str, ...]:
    """What PATH leads to: interpreters and the targets of links. Looked up again when one of its folders changed."""
    path = os.pathsep.join(entries)
    prefixes = (prefix for name in _INTERPRETERS for prefix in _prefixes(shutil.which(name, path=path)))
    return (*prefixes, *_link_targets(entries, hidden))


def _changed(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _prefixes(executable: str | None) -> list[str]:
    """The folders an interpreter needs: where it lies, and the prefix above its bin."""
    if executable is None:
        return []
    real = Path(os.path.realpath(executable))
    prefix = real.parent.parent if real.parent.name in {"bin", "shims"} else real.parent
    # ~/.cargo and the like hold credentials beside their bin.
    keeps_credentials = prefix.name.startswith(".") and prefix.name not in _MANAGERS | {".venv"}
    return [str(real.parent)] if keeps_credentials else [str(prefix), *_venv(str(prefix))]


def _venv(folder: str) -> list[str]:
    """A virtual environment and the Python it was made from, as `home` in its pyvenv.cfg says when that is one."""
    settings = Path(folder, "pyvenv.cfg")
    if not folder or not settings.is_file():
        return []
    with settings.open(encoding="utf-8", errors="replace") as file:
        lines = (line.partition("=") for line in file.read(_MAX_CHARACTERS).splitlines())
    base = next((value.strip() for name, _, value in lines if name.strip() == "home"), "")
    prefix = Path(os.path.realpath(base)).parent
    is_python = bool(base) and any(prefix.glob("bin/python3*")) and any(prefix.glob("lib*/python3*/os.py"))
    return [folder, str(prefix)] if is_python else [folder]


def _link_targets(entries: Iterable[str], hidden: tuple[str, ...]) -> list[str]:
    """The programs that links in hidden PATH entries lead to, as uv's link to its own binary."""
    links = [
        link for entry in entries if any(is_within(entry, folder) for folder in hidden) and Path(entry).is_dir()
        for link in Path(entry).iterdir() if link.is_symlink()
    ]  # fmt: skip
    targets = (os.path.realpath(link) for link in links[:200])
    return [path for path in targets if Path(path).is_file() and os.access(path, os.X_OK) and not is_credential(path)]


@lru_cache(maxsize=8)
def _git_identity(_home: str) -> tuple[tuple[str, str], ...]:
    """Name and address for commits, since the user's git settings stay outside. Asked once for a home."""
    command = ["git", "config", "--global", "--get-regexp", r"^user\.(name|email)$"]
    try:
        done = subprocess.run(
            command, env=without_secrets(os.environ), capture_output=True, text=True, timeout=5, check=False
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


def inside_environment(environment: Mapping[str, str], secrets: Iterable[str] = ()) -> dict[str, str]:
    """The variables of `environment` that go inside; TMPDIR is the sandbox's own /tmp.

    A value that holds a login in a URL stays outside, and so does every name of a secret that is not in `secrets`.
    """
    wanted = set(secrets)
    kept = {
        name: value
        for name, value in environment.items()
        if name in wanted or (_ALLOWED.match(name) and not _SECRET.search(name) and not _LOGIN_IN_URL.search(value))
    }
    return {**kept, "TMPDIR": "/tmp"}  # noqa: S108  inside, /tmp belongs to this command alone
