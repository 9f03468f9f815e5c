"""Classification of paths: inside the workspace, credentials, project secrets, system and protected files."""

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ml_intern.safety.files.facts import NO_FACTS, FileFacts
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
    r"\.(?:config/)?kaggle/kaggle\.json|"
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
    r"(?:^|/)(?:site|dist)-packages/[^/]*\.pth\Z|/python[\d.]*/(?:user|site)customize\.py\Z"
)
_DISK = re.compile(r"/dev/(?:sd[a-z]|hd[a-z]|vd[a-z]|xvd[a-z]|nvme\d|mmcblk\d|loop\d|md\d|dm-\d|mapper/|disk/|nbd\d)")
_SOCKET = re.compile(r"(?:^|/)(?:docker|podman|containerd|crio|buildkitd?)\.sock\Z")
_SYSTEM_TREES = words("/etc /usr /bin /sbin /boot /lib /lib32 /lib64 /var /sys /proc /dev /opt /srv /run")
_SCRATCH = words("/var/tmp /dev/shm /dev/null /dev/stdout /dev/stderr /dev/tty /run/user")  # noqa: S108


def normalize_path(path: str) -> str:
    """Normalize a path without accessing the file system."""
    return posixpath.normpath(path)


def match_nothing(_pattern: str) -> tuple[str, ...]:
    """Match no files."""
    return ()


@dataclass(frozen=True)
class CommandContext:
    """The folders of a command; paths are absolute. `resolve` and `match` access the file system."""

    workspace: str
    home: str = "/nonexistent-home"
    cwd: str = ""
    """"" means the workspace."""
    add_dirs: tuple[str, ...] = ()
    own_homes: tuple[str, ...] = ()
    """ml-intern's own folders: data, settings, cache."""
    resolve: Callable[[str], str] = normalize_path
    """Follows symbolic links, like os.path.realpath."""
    match: Callable[[str], tuple[str, ...]] = match_nothing
    """Returns the paths that match a pattern, like glob.glob."""
    files: FileFacts = NO_FACTS

    @property
    def folder(self) -> str:
        """Return the folder in which the command starts."""
        return self.cwd or self.workspace

    def absolute(self, path: str, cwd: str) -> str:
        """Return the absolute path relative to `cwd`, without following links."""
        if path == "~" or path.startswith("~/"):
            path = self.home + path[1:]
        return posixpath.normpath(posixpath.join(cwd, path))

    def is_inside(self, path: str, cwd: str) -> bool:
        """Return whether a path, after following links, is in the workspace or an additional folder."""
        target = self.resolve(posixpath.join(cwd, path))
        return any(is_within(target, self.resolve(root)) for root in (self.workspace, *self.add_dirs))


def is_within(path: str, root: str) -> bool:
    """Return whether `path` is `root` or below it; both must be normalized."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def is_credential(path: str) -> bool:
    """Return whether the absolute or relative path is a file or folder with credentials."""
    return _CREDENTIAL.search(path) is not None or _SYSTEM_CREDENTIAL.match(path) is not None


SECRETS = "usually contains secrets"
"""The end of a reason that names a file with secrets; "always" does not cover it."""


def is_project_secret(path: str) -> bool:
    """Return whether the path is a project file that usually contains secrets: .env, *.pem ..."""
    return _PROJECT_SECRET.search(path) is not None


def is_own_home(path: str, home: str, own_homes: Iterable[str]) -> bool:
    """Return whether the path belongs to ml-intern's own data, settings or cache."""
    roots = [f"{home}/{folder}/ml-intern" for folder in (".local/share", ".config", ".cache", ".local/state")]
    return any(is_within(path, root) for root in (*roots, *own_homes))


def is_persistence(path: str) -> bool:
    """Return whether the file makes programs run later or grants logins: cron, shell startup files, services, keys."""
    return _PERSISTENCE.search(path) is not None


def is_disk(path: str) -> bool:
    """Return whether the path is a block device."""
    return _DISK.match(path) is not None


def is_container_socket(path: str) -> bool:
    """Return whether the path is the socket of a container engine, which gives root access."""
    return _SOCKET.search(path) is not None


def is_system(path: str) -> bool:
    """Return whether the path is part of the operating system, except temporary folders."""
    if any(is_within(path, scratch) for scratch in _SCRATCH):
        return False
    return path == "/" or any(is_within(path, tree) for tree in _SYSTEM_TREES)


def contains_any(path: str, roots: Iterable[str]) -> bool:
    """Return whether one of `roots` is `path` or below it, so that removing `path` would remove the root."""
    return any(is_within(root, path) for root in roots if root)
