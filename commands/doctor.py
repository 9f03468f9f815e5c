"""`doctor`: versions, programs, folders, which API keys are set, and the model; --probe sends test requests."""

import asyncio
import os
import platform
import shutil
import sqlite3
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.config import known_paths
from ml_intern.commands.options import MODEL_OPTIONS, SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import Json, columns, print_json, print_lines, size
from ml_intern.commands.setup.backup import repair_database
from ml_intern.commands.setup.probe import probe as ask_model
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.env import CREDENTIALS
from ml_intern.configs.errors import MLInternError
from ml_intern.configs.layers import Loaded
from ml_intern.configs.providers import HUB, MODEL_PROVIDERS, SERVICES
from ml_intern.configs.version import DISTRIBUTION
from ml_intern.models.secrets import register_secrets
from ml_intern.safety.secrets.known import without_secrets
from ml_intern.session.opening.model import choose_model, endpoint_of
from ml_intern.session.opening.options import load_settings, working_folder
from ml_intern.text.formatting import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_intern.models.catalog.lifecycle import Retirement

PACKAGES = (
    DISTRIBUTION,
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "langchain-core",
    "langchain-litellm",
    "litellm",
    "langchain-mcp-adapters",
    "mcp",
    "huggingface_hub",
)
MAX_SECRETS = 5
PROGRAMS = {
    "git": "needed for the history of your project",
    "uv": "needed to run scripts with their dependencies",
    "bwrap": "needed for the stronger sandbox (Debian: apt install bubblewrap)",
}


@takes_options(*MODEL_OPTIONS, *SETTINGS_OPTIONS)
def doctor(
    options: Options,
    probe: Annotated[
        bool, typer.Option("--probe", help="send test requests: a reply, a streamed reply, a tool call")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="repair a damaged thread database from what is readable and the backups")
    ] = False,
    json: Json = False,
) -> int:
    """Show versions, programs, folders, which API keys are set, and the model a run would use."""
    if repair:
        return repair_database(json=json)
    loaded = load_settings(options.request(), working_folder(options.request()))
    register_secrets()
    report = _report(loaded, options)
    fault = asyncio.run(_look_at_database(report))
    if probe and fault is None:
        report["probe"] = {}
        fault = asyncio.run(ask_model(loaded, options, report["probe"]))
    if json:
        print_json(report)
    else:
        print_lines(_as_text(report))
    if fault:
        raise fault
    return 0


async def doctor_lines(options: Options) -> list[str]:
    """Return the lines `doctor` prints without --probe."""
    loaded = await asyncio.to_thread(load_settings, options.request(), working_folder(options.request()))
    report = await asyncio.to_thread(_report, loaded, options)
    await _look_at_database(report)
    return _as_text(report)


def _report(loaded: Loaded, options: Options) -> dict[str, dict[str, str]]:
    return {
        "versions": _versions(),
        "programs": {
            **{name: _program(name, purpose) for name, purpose in PROGRAMS.items()},
            "sandbox": _sandbox(loaded),
        },
        "folders": _folders(),
        "keys": _keys(),
        "model": _model(loaded, options),
        "notes": {str(number): note for number, note in enumerate(loaded.notes, start=1)},
    }


def _versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "system": platform.platform()}
    return own | {name: _installed(name) for name in PACKAGES}


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _program(name: str, purpose: str) -> str:
    path = shutil.which(name) or (_own_uv() if name == "uv" else None)
    if path is None:
        return f"not found: {purpose}"
    try:
        done = subprocess.run(
            [path, "--version"],
            env=without_secrets(os.environ),
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path} failed: {error}"
    return f"{(done.stdout or done.stderr).strip().partition(chr(10))[0]} ({path})"


def _sandbox(loaded: Loaded) -> str:
    from ml_intern.sandbox.basic.available import available_sandbox

    found = available_sandbox(loaded.settings.sandbox.kind)
    return f"{found.problem[0]} ({found.problem[1]})" if found.problem else found.weakness or "works"


def _own_uv() -> str | None:
    from uv import find_uv_bin

    try:
        return str(find_uv_bin())
    except FileNotFoundError:
        return None


def _folders() -> dict[str, str]:
    return {name: f"{path} ({_size_of(path)})" for name, path in known_paths().items()}


def _size_of(path: Path) -> str:
    if not path.exists():
        return "does not exist yet"
    if path.is_file():
        return size(path.stat().st_size)
    return size(sum(file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink()))


def _keys() -> dict[str, str]:
    from ml_intern.models.routing import hub_token, named_hub_token

    found = {name: "set" for name in CREDENTIALS if os.environ.get(name)}
    if hub_token(os.environ) and not named_hub_token(os.environ):
        found[HUB.key_envs[0]] = "stored login"
    without = (one for one in SERVICES if one.key_help and found.keys().isdisjoint(one.key_envs))
    return found | {one.key_envs[0]: f"not set; {one.key_help}" for one in without}


def _model(loaded: Loaded, options: Options) -> dict[str, str]:
    from ml_intern.models.catalog.lifecycle import retirements
    from ml_intern.models.routing import find_route

    try:
        model, note = choose_model(loaded, options.base_url)
        route = find_route(model, os.environ, endpoint_of(options.request(), model))
    except MLInternError as error:
        return {"model": str(error)}
    found = {"model": model, "route": route.note, "key": route.key_used or "not needed", "note": note}
    used = (model, *loaded.settings.other_models) if route.is_hosted else loaded.settings.other_models
    found |= {f"retired {place}": str(one) for place, one in enumerate(retirements(used, date.today()), start=1)}
    found |= {f"default {place}": str(one) for place, one in enumerate(_retired_defaults(), start=1)}
    return {name: value for name, value in found.items() if value}


def _retired_defaults() -> "Iterator[Retirement]":
    """Iterate over the default and recommended models of the providers whose key is set that are retired today."""
    from ml_intern.models.catalog.lifecycle import recommended, retirements

    keyed = [prefix for prefix, one in MODEL_PROVIDERS.items() if any(os.environ.get(name) for name in one.key_envs)]
    return retirements((model for prefix in keyed for model in recommended(prefix)), date.today())


async def _look_at_database(report: dict[str, dict[str, str]]) -> MLInternError | None:
    """Add the number of threads, or the error of a database that cannot be opened. No database is created."""
    if not known_paths()["threads"].exists():
        return None
    try:
        async with threads_of_user() as threads:
            report["folders"]["number of threads"] = str(len(await threads.list()))
            if secrets := await threads.secrets_in_snapshots():
                advice = "`ml-intern threads prune --yes` removes them"
                report["folders"]["secrets in snapshots"] = f"{listed(secrets, MAX_SECRETS)}: {advice}"
    except MLInternError as error:
        report["folders"]["threads"] += f": {error}"
        return error
    return None


def _as_text(report: dict[str, dict[str, str]]) -> list[str]:
    lines: list[str] = []
    for section, rows in report.items():
        if rows:
            lines += [section, *(f"  {line}" for line in columns(list(rows.items()), indent=2))]
    return lines
