"""`compute list`, `add`, `test`, `remove`: the user's own machines and clusters."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from ml_intern.commands.options import SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import Json, columns, print_json, print_lines
from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.configs.hosts import hub_url
from ml_intern.session.opening.options import load_settings, working_folder
from ml_intern.text.formatting import duration, money

if TYPE_CHECKING:
    from ml_intern.configs.settings import ComputeTarget
    from ml_intern.runs.remote.measured import MeasuredTarget

Name = Annotated[str, typer.Argument(metavar="NAME", help="the name of the target")]
GB = 1e9
MB_PER_GB = 1024
MAX_CLOCK_SECONDS = 60.0
HTTPS_PORT = 443
FAILED = 1


@takes_options(*SETTINGS_OPTIONS)
def list_targets(options: Options, json: Json = False) -> int:
    """List the machines and clusters in the settings, their price, what they have, and what runs there."""
    targets = _targets(options)
    running, measured = asyncio.run(_running()), _measured(targets)
    rows = [
        {
            "name": name,
            **target.model_dump(exclude_defaults=True),
            "measured": asdict(measured[name]) if name in measured else None,
            "runs": running.get(name, []),
        }
        for name, target in targets.items()
    ]
    if json:
        return print_json(rows)
    if not rows:
        return print_lines(["no machines in the settings; add one with: ml-intern compute add NAME --host HOST"])
    table = [
        (
            name,
            one.kind,
            ", ".join(one.members) or one.host or one.address or "this machine",
            _price(one),
            _has(measured.get(name)) if not one.members else "-",
            ", ".join(running.get(name, [])) or "-",
        )
        for name, one in targets.items()
    ]
    return print_lines(columns([("NAME", "KIND", "HOST", "PRICE", "HAS", "RUNNING"), *table]))


def _measured(targets: "Mapping[str, ComputeTarget]") -> "dict[str, MeasuredTarget]":
    """Return what `compute test` found, for the targets that it tested."""
    from ml_intern.configs.paths import data_home
    from ml_intern.runs.remote.measured import read_measured

    found = {name: read_measured(data_home(), target) for name, target in targets.items()}
    return {name: one for name, one in found.items() if one is not None}


def _has(found: "MeasuredTarget | None") -> str:
    """Return what a target has, and when that was measured."""
    if found is None:
        return "not tested"
    counts = Counter(f"{gpu.name} {gpu.memory_mb / MB_PER_GB:.0f} GB" for gpu in found.gpus)
    partition = found.partition
    parts = [
        *(f"{count} x {gpu}" for gpu, count in counts.items()),
        partition.gres.partition("(")[0] if partition and partition.gres != "(null)" else "",
        f"limit {duration(partition.limit_s)}" if partition and partition.limit_s else "",
        f"{found.free / GB:.0f} GB free" if found.free is not None else "",
        "no internet" if found.internet is False else "",
    ]
    day = time.strftime("%Y-%m-%d", time.localtime(found.time))
    return f"{', '.join(filter(None, parts))} ({day})"


async def _running() -> dict[str, list[str]]:
    """Return the open runs by the target that their hardware names."""
    from ml_intern.session.opening.store import open_store

    found: dict[str, list[str]] = {}
    async with open_store() as store:
        for row in await store.runs.unfinished():
            if row.hardware is not None:
                found.setdefault(row.hardware.split(",")[0], []).append(row.id)
    return found


def _price(target: "ComputeTarget") -> str:
    return f"{money(target.usd_per_hour)} per hour" if target.usd_per_hour else "-"


@takes_options(*SETTINGS_OPTIONS)
def check_target(options: Options, name: Name, json: Json = False) -> int:
    """Log in to a target and show what it has. Exits with 1 if it cannot be used."""
    targets = _targets(options)
    if name not in targets:
        raise UsageError(f"there is no target {name!r}", "`ml-intern compute list` lists them")
    if members := targets[name].members:
        raise UsageError(f"{name} is a pool", f"test its members: {', '.join(members)}")
    found = asyncio.run(_probed(name, targets[name]))
    if json:
        print_json(found)
    else:
        print_lines(_probe_lines(found, targets[name]))
    return FAILED if _problems(found, targets[name]) else 0


async def _probed(name: str, target: "ComputeTarget") -> dict[str, Any]:
    from ml_intern.configs.paths import data_home
    from ml_intern.execution.call import ToolError
    from ml_intern.runs.ray.cluster import RayCluster
    from ml_intern.runs.remote.connection import FarSide
    from ml_intern.runs.remote.measured import measured_of, save_measured
    from ml_intern.runs.remote.order import torch_query, trial_options

    began = time.time()
    hub = urlsplit(hub_url())
    order = {
        "torch": torch_query(target),
        "wheels": target.wheels,
        "sbatch": trial_options(target),
        "reach": [hub.hostname, hub.port or HTTPS_PORT],
    }
    is_ray = target.kind == "ray"
    far_side = RayCluster(name, target) if is_ray else FarSide(name, target, None)  # a login of its own
    try:
        found = await far_side.call("probe", order)
    except ToolError as error:
        raise MLInternError(str(error), "correct the target in the settings") from error
    save_measured(data_home(), target, measured_of(found, target))
    return {**found, "clock_off_s": round(found["clock"] - (began + time.time()) / 2, 1)}


def _probe_lines(found: dict[str, Any], target: "ComputeTarget") -> list[str]:
    lines = [
        f"{found['host']}: {found['system']}, Python {found['python']}, {found['cores']} cores, "
        f"{found['free'] / GB:.0f} GB free in {target.workdir}",
        f"GPUs: {'; '.join(f'{gpu}, {memory} MB' for gpu, memory, _ in found['gpus']) or 'none'}",
        f"CUDA of the driver: {found['driver_cuda'] or 'none'}; torch: {_torch_line(found)}",
        f"internet: {'reaches the Hub' if found['internet'] else 'does not reach the Hub'}",
        *(f"partition {name}: time limit {limit}, GPUs {gres}" for name, limit, gres in found["partitions"]),
        *([f"wheels: {found['wheels']} in {target.wheels}"] if found["wheels"] is not None else []),
        f"uv: {found['uv'] or 'not found; scripts with a PEP 723 header need it'}",
    ]
    return [*lines, *(_problems(found, target) or ["it can be used"])]


def _torch_line(found: dict[str, Any]) -> str:
    if found["torch"] is None:
        return "unknown"
    return " ".join(filter(None, [found["torch"] or "none", found["torch_cuda"] and f"for CUDA {found['torch_cuda']}"]))


def _problems(found: dict[str, Any], target: "ComputeTarget") -> list[str]:
    """Return why a target cannot be used."""
    problems = []
    if target.kind == "slurm" and not found["sbatch"]:
        problems.append("sbatch was not found: Slurm's commands must be on the PATH of a login without terminal")
    if found["python3"]:
        problems.append(f"python3 does not start after its setup, modules and container: {found['python3']}")
    if found["refusal"]:
        problems.append(f"Slurm refuses a job with the options of these settings: {found['refusal']}")
    if target.wheels and found["wheels"] is None:
        problems.append(f"its folder of wheels {target.wheels} is not there")
    if abs(found["clock_off_s"]) > MAX_CLOCK_SECONDS:
        problems.append(f"its clock is {found['clock_off_s']:+.0f} s off: logins to the Hub may fail there")
    return problems


def add_target(
    name: Name,
    kind: Annotated[str, typer.Option("--kind", metavar="ssh|slurm|ray|pool")] = "ssh",
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="a host of your ssh configuration")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="repeatable")] = None,
) -> int:
    """Add a target to the user's settings. The keys for --set are described with the setting `compute`."""
    from ml_intern.configs.user_files import change_user_settings

    entry = _entry(name, {"kind": kind, **({"host": host} if host else {}), **_pairs(set_ or [])})

    def change(values: dict[str, Any]) -> None:
        known = values.setdefault("compute", {})
        if unknown := sorted(set(entry.get("members", ())) - {one for one in known if "members" not in known[one]}):
            raise UsageError(f"{unknown[0]!r} is not a machine or cluster in your settings", "add it first")
        known[name] = entry

    path = change_user_settings(change)
    tried = ", ".join(f"ml-intern compute test {one}" for one in entry.get("members", [name]))
    return print_lines([f"added {name} to {path}; test it with: {tried}"])


def _pairs(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given:
        key, is_pair, value = text.partition("=")
        if not is_pair:
            raise UsageError(f"{text!r} is not of the form KEY=VALUE")
        found[key] = [*found.get(key, []), value] if key in ("modules", "sbatch", "members") else value
    return found


def _entry(name: str, values: dict[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    from ml_intern.configs.settings import ComputeTarget, check_target_names

    try:
        target = ComputeTarget.model_validate(values)
        check_target_names({name: target.model_copy(update={"members": ()})})
    except ValidationError as error:
        first = error.errors()[0]
        place = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        raise UsageError(place + first["msg"].removeprefix("Value error, ")) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    return target.model_dump(mode="json", exclude_unset=True)


def remove_target(name: Name) -> int:
    """Remove a target from the user's settings. Its runs continue and stay in `jobs list`."""
    from ml_intern.configs.user_files import change_user_settings

    def change(values: dict[str, Any]) -> None:
        targets = values.get("compute", {})
        if targets.pop(name, None) is None:
            raise UsageError(f"there is no target {name!r} in your settings", "`ml-intern compute list` lists them")
        if pools := [other for other, target in targets.items() if name in target.get("members", ())]:
            raise UsageError(f"{name} is a member of the pool {pools[0]}", f"remove or replace {pools[0]} first")

    return print_lines([f"{name} is removed from {change_user_settings(change)}"])


def _targets(options: Options) -> "dict[str, ComputeTarget]":
    return load_settings(options.request(), working_folder(options.request())).settings.compute
