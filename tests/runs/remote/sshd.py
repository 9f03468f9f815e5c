"""A real sshd on loopback, with keys of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass
class Sshd:
    """A server that accepts one key. `folder` has its files, `config` is for the client."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "client"

    def start(self) -> None:
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "server"], stderr=subprocess.DEVNULL)
        for _ in range(600):
            with closing(socket.socket()) as channel:
                if channel.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                raise RuntimeError("sshd ended")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    with closing(socket.socket()) as channel:
        channel.bind(("127.0.0.1", 0))
        return int(channel.getsockname()[1])


@contextmanager
def sshd_on_loopback(folder: Path) -> Iterator[Sshd]:
    """A server whose files lie in `folder`. Raises RuntimeError if it cannot be used."""
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        raise RuntimeError("needs openssh-server and openssh-client")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port, home = _free_port(), folder / "home"
    home.mkdir()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    server = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host_key", "PidFile": "none",
        "AuthorizedKeysFile": folder / "authorized_keys", "StrictModes": "no", "UsePAM": "no",
        "PasswordAuthentication": "no",
        # A home of its own: the account's .bashrc may wait for locks, as pyenv's does.
        "SetEnv": f'HOME="{home}" PATH="{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"',
    }  # fmt: skip
    (folder / "server").write_text("".join(f"{name} {value}\n" for name, value in server.items()))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    client = {
        "Host": "box\n  HostName 127.0.0.1", "Port": port, "IdentityFile": folder / "user_key",
        "IdentitiesOnly": "yes", "UserKnownHostsFile": folder / "known_hosts", "GlobalKnownHostsFile": "none",
    }  # fmt: skip
    (folder / "client").write_text("".join(f"{name} {value}\n" for name, value in client.items()))
    running = Sshd(folder, port)
    running.start()
    login = ["ssh", "-F", str(running.config), "-o", "BatchMode=yes", "box", "python3 -V"]
    tried = subprocess.run(login, capture_output=True, text=True, check=False, timeout=60)
    if tried.returncode:
        running.stop()
        raise RuntimeError(f"needs an account that sshd lets in, with python3: {tried.stderr.strip()[-200:]}")
    try:
        yield running
    finally:
        running.stop()


def end_connections(folder: Path) -> None:
    """End ssh's shared connections, as a lost network does."""
    sockets = str(folder).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_connection = path.read_bytes().startswith(b"ssh: " + sockets)
        except OSError:
            continue
        if is_connection:
            os.kill(int(path.parent.name), signal.SIGKILL)
