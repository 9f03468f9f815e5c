"""Clone the repository of a thread of a team's user into the folder of the thread: by HTTPS, from public hosts.

git runs outside the sandbox, so it connects to one checked address and follows nothing that leads elsewhere.
"""

import asyncio
import base64
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ml_intern.configs.env import OWN_KEYS
from ml_intern.configs.errors import ConfigurationError, TemporaryError, UsageError
from ml_intern.configs.providers import GITHUB, HUB
from ml_intern.execution.call import ToolError
from ml_intern.net.addresses import Target, check_public, is_allowed_host, parse_url, resolve
from ml_intern.safety.secrets.redaction import redact
from ml_intern.text.visible import visible

REPOSITORY: Final = "repository"
"""The name of the address among the options of a thread."""
MAX_SECONDS: Final = 1_800.0
MAX_ADDRESS: Final = 500
TOKENS: Final[Mapping[str, str]] = {one.hosts[0]: one.key_envs[0] for one in (GITHUB, HUB)}
"""The user's own key that opens private repositories of a host."""
_PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "http_proxy", "no_proxy", "NO_PROXY")
_SETTINGS: Final = ("http.followRedirects=false", "core.hooksPath=/dev/null", "credential.helper=", "core.fsmonitor=")


def checked_repository(url: str, private_hosts: Sequence[str] = ()) -> Target:
    """Return the address of a repository. Raises UsageError if it is not https, or http of an allowed private host."""
    try:
        target = parse_url(url[:MAX_ADDRESS])
    except ToolError as error:
        raise UsageError(str(error), "name a repository such as https://github.com/OWNER/NAME") from error
    if target.scheme != "https" and not is_allowed_host(target, private_hosts):
        raise UsageError(f"{url[:MAX_ADDRESS]} is not an https address", "name the repository by https://")
    return target


async def clone_repository(folder: Path, url: str, private_hosts: Sequence[str]) -> None:
    """Clone a repository into an empty folder. One with files in it was cloned before, and stays as it is.

    Raises UsageError if that is not possible, TemporaryError if it takes too long.
    """
    if await asyncio.to_thread(lambda: any(folder.iterdir())):
        return
    target = checked_repository(url, private_hosts)
    address = await _address(target, private_hosts)
    copy = folder.with_name(f"{folder.name}.clone")
    await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)
    await _run_git(target, address, copy)
    await asyncio.to_thread(copy.replace, folder)


async def _address(target: Target, private_hosts: Sequence[str]) -> str:
    """Return an address of the host, which is public unless the settings allow it. Raises UsageError."""
    found = await resolve(target)
    if not found:
        raise UsageError(f"the host {target.host} of the repository has no address", "check the address")
    try:
        if not is_allowed_host(target, private_hosts):
            check_public(target, found)
    except ToolError as error:
        raise UsageError(str(error), "name a repository of a public host") from error
    return found[0]


async def _run_git(target: Target, address: str, copy: Path) -> None:
    pinned = f"http.curloptResolve={target.host}:{target.port}:{address}"
    settings = [word for setting in (*_SETTINGS, pinned) for word in ("-c", setting)]
    try:
        process = await asyncio.create_subprocess_exec(
            "git", *settings, "clone", "--quiet", "--no-recurse-submodules", "--", target.url, str(copy),
            env=_environment(target), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise ConfigurationError("git is not installed on this worker", "install it") from error
    try:
        async with asyncio.timeout(MAX_SECONDS):
            _, output = await process.communicate()
    except TimeoutError as error:
        raise TemporaryError(f"cloning {target.url} took over {MAX_SECONDS / 60:.0f} minutes", "try again") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = output.decode(errors="replace").strip().rpartition("\n")[2]
        why = redact(visible(last))[:300] or f"git ended with {process.returncode}"
        raise UsageError(f"{target.url} could not be cloned: {why}", "check the address, or set a key for it")


def _environment(target: Target) -> dict[str, str]:
    """Return the environment of git: no settings of this machine, no questions, and the user's own key of this host."""
    kept = {name: os.environ[name] for name in ("PATH", *_PROXIES) if name in os.environ}
    settings = {
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true",
        "GIT_LFS_SKIP_SMUDGE": "1", "GIT_ALLOW_PROTOCOL": target.scheme, "HOME": os.devnull, "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    name = TOKENS.get(target.host, "")
    if target.scheme != "https" or name not in os.environ.get(OWN_KEYS, "").split(",") or not name:
        return kept | settings
    login = base64.b64encode(f"user:{os.environ[name]}".encode()).decode()
    key = f"http.https://{target.host}/.extraHeader"
    secret = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": key, "GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}"}
    return kept | settings | secret
