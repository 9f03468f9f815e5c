"""Where a command may read and write: the workspace after resolution, and the paths that are never to be touched."""

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ml_intern.text.word_table import words

PLAIN_SYSTEM_FILES = frozenset({
    "/dev/null", "/etc/os-release", "/etc/lsb-release", "/etc/hostname", "/etc/timezone", "/etc/debian_version",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/loadavg", "/proc/version", "/proc/uptime", "/proc/driver/nvidia/version",
})  # fmt: skip

_CREDENTIAL = re.compile(
    r"(?:^|/)(?:"
    r"\.ssh(?:/(?!known_hosts|[^/]*\.pub\Z).*)?|\.gnupg(?:/.*)?|\.password-store(?:/.*)?|"
    r"\.aws(?:/(?:credentials|config|sso|cli).*)?|\.azure(?:/.*)?|\.config/gcloud(?:/.*)?|\.kube(?:/config)?|"
    r"\.config/(?:gh|hub|glab-cli|op|rclone|doctl|sops|wandb|heroku|netlify|hcloud|stripe)(?:/.*)?|"
    r"\.docker/config\.json|"
    r"\.netrc|_netrc|\.git-credentials|\.config/git/credentials|\.pypirc|\.npmrc|\.yarnrc(?:\.yml)?|\.pgpass|\.my\.cnf|"
    r"\.cargo/credentials(?:\.toml)?|\.gem/credentials|\.terraform\.d/credentials.*|\.vault-token|"
    r"\.kaggle/kaggle\.json|"
    r"\.(?:cache/)?huggingface/(?:token|stored_tokens)|huggingface/token|stored_tokens|\.s3cfg|\.boto|\.databrickscfg|"
    r"\.mozilla(?:/.*)?|\.config/(?:google-chrome|chromium)(?:/.*)?|\.local/share/keyrings(?:/.*)?|"
    r"\.(?:bash|zsh|python|psql|mysql|node_repl)_history|\.snowflake/.*|\.modal\.toml|\.oci/.*|"
    r"id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?"
    r")\Z"
)
_SYSTEM_CREDENTIAL = re.compile(
    r"/etc/(?:shadow|gshadow|sudoers)[-~.]?(?:d(?:/.*)?)?\Z|/etc/ssh/ssh_host_.*(?<!\.pub)\Z|/etc/(?:krb5\.keytab|"
    r"ssl/private(?:/.*)?)\Z|"
    r"/proc/[^/]+/(?:task/[^/]+/)?(?:environ|mem|maps|fd(?:/.*)?|root(?:/.*)?|cwd(?:/.*)?)\Z|/dev/(?:mem|kmem|port)\Z|"
    r"/(?:var/)?run/secrets(?:/.*)?\Z|/var/lib/(?:docker|kubelet)(?:/.*)?\Z"
)
_PROJECT_SECRET = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example|sample|template|dist)[^/]*)?|[^/]*\.(?:pem|key|p12|pfx|"
    r"jks|keystore)|secrets?\.(?:ya?ml|json|toml))\Z"
)
_PERSISTENCE = re.compile(
    r"\A/etc/(?:cron[^/]*(?:/.*)?|anacrontab|passwd|group|shadow|sudoers(?:\.d/.*)?|profile(?:\.d/.*)?|bash\.bashrc|"
    r"environment|hosts|resolv\.conf|ld\.so\.(?:preload|conf(?:\.d/.*)?)|systemd/.*|init\.d/.*|rc\.local|pam\.d/.*|"
    r"ssh/.*|"
    r"apt/.*|fstab)\Z|\A/var/spool/cron(?:/.*)?\Z|\A/(?:usr/)?lib/systemd/.*|(?:^|/)\.(?:bashrc|bash_profile|"
    r"bash_login|"
    r"bash_logout|profile|zshrc|zshenv|zprofile|zlogin|inputrc|xprofile|xinitrc|pam_environment|gitconfig|condarc|"
    r"pydistutils\.cfg)\Z|(?:^|/)\.config/(?:autostart|systemd|fish|environment\.d|pip|uv|git)(?:/.*)?\Z|"
    r"(?:^|/)\.ssh/(?:authorized_keys|rc|config|environment)\Z|(?:^|/)Library/LaunchAgents/.*\Z|(?:^|/)\.ipython/.*\Z|"
    r"(?:^|/)(?:user|site)customize\.py\Z|\.pth\Z"
)
_DISK = re.compile(r"/dev/(?:sd[a-z]|hd[a-z]|vd[a-z]|xvd[a-z]|nvme\d|mmcblk\d|loop\d|md\d|dm-\d|mapper/|disk/|nbd\d)")
_SOCKET = re.compile(r"(?:^|/)(?:docker|podman|containerd|crio|buildkitd?)\.sock\Z")
_SYSTEM_TREES = words("/etc /usr /bin /sbin /boot /lib /lib32 /lib64 /var /sys /proc /dev /opt /srv /run")
_SCRATCH = words("/var/tmp /dev/shm /dev/null /dev/stdout /dev/stderr /dev/tty /run/user")  # noqa: S108
PROTECTED_IN_WORKSPACE = words("AGENTS.md CLAUDE.md GEMINI.md conftest.py sitecustomize.py usercustomize.py")
"""Names in the workspace that other programs obey; a file whose name begins with a dot counts as one too."""


def lexical(path: str) -> str:
    """Resolve without looking at any file."""
    return posixpath.normpath(path)


def no_files(_pattern: str) -> tuple[str, ...]:
    """A folder about which nothing is known."""
    return ()


@dataclass(frozen=True)
class Place:
    """Where a command is to run; paths are absolute. `resolve` and `match` are how the caller looks at the disk."""

    workspace: str
    home: str = "/nonexistent-home"
    cwd: str = ""
    """The workspace when empty."""
    add_dirs: tuple[str, ...] = ()
    own_homes: tuple[str, ...] = ()
    """Folders of ml-intern itself: data, settings, cache."""
    resolve: Callable[[str], str] = lexical
    """Follows symbolic links, as os.path.realpath does."""
    match: Callable[[str], tuple[str, ...]] = no_files
    """The paths a pattern stands for, as glob.glob gives them."""

    @property
    def folder(self) -> str:
        """Where the command begins."""
        return self.cwd or self.workspace

    def absolute(self, path: str, cwd: str) -> str:
        """The path as seen from `cwd`, without following links."""
        if path == "~" or path.startswith("~/"):
            path = self.home + path[1:]
        return posixpath.normpath(posixpath.join(cwd, path))

    def is_inside(self, path: str, cwd: str) -> bool:
        """Tell whether a path, links followed, lies in the workspace or a further folder."""
        target = self.resolve(posixpath.join(cwd, path))
        return any(is_within(target, self.resolve(root)) for root in (self.workspace, *self.add_dirs))


def is_within(path: str, root: str) -> bool:
    """Tell whether `path` is `root` or below it; both normalised."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def is_credential(path: str) -> bool:
    """A file (or a folder of files) that holds somebody's credentials; `path` is absolute or bare."""
    return _CREDENTIAL.search(path) is not None or _SYSTEM_CREDENTIAL.match(path) is not None


def is_project_secret(path: str) -> bool:
    """A file of a project that usually holds secrets: .env, *.pem ..."""
    return _PROJECT_SECRET.search(path) is not None


def is_own_home(path: str, home: str, own_homes: Iterable[str]) -> bool:
    """A file of ml-intern itself: its threads, settings, approvals."""
    roots = [f"{home}/{folder}/ml-intern" for folder in (".local/share", ".config", ".cache", ".local/state")]
    return any(is_within(path, root) for root in (*roots, *own_homes))


def is_persistence(path: str) -> bool:
    """A file that makes something run later or elsewhere: cron, shell start files, services, keys that may log in."""
    return _PERSISTENCE.search(path) is not None


def is_disk(path: str) -> bool:
    """A block device."""
    return _DISK.match(path) is not None


def is_container_socket(path: str) -> bool:
    """The socket of a container engine: whoever speaks to it is root."""
    return _SOCKET.search(path) is not None


def is_system(path: str) -> bool:
    """Part of the operating system, scratch folders aside."""
    if any(is_within(path, scratch) for scratch in _SCRATCH):
        return False
    return path == "/" or any(is_within(path, tree) for tree in _SYSTEM_TREES)


def holds_any(path: str, roots: Iterable[str]) -> bool:
    """Tell whether one of `roots` is `path` or lies below it: removing it would remove that root."""
    return any(is_within(root, path) for root in roots if root)


def is_protected_in_workspace(path: str, workspace: str) -> bool:
    """A path of the workspace that other programs obey: hidden files and folders, agents' instructions."""
    parts = posixpath.relpath(path, workspace).split("/")
    return (
        any(part.startswith(".") and part not in {".", ".."} for part in parts) or parts[-1] in PROTECTED_IN_WORKSPACE
    )
