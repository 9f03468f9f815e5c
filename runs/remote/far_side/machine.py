"""The operations on the machine: what it has, and how busy it is."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONNECT_SECONDS = 5.0


def usage_line() -> str:
    """Return the load, memory and GPU use of this machine in one line."""
    parts = [f"load {os.getloadavg()[0]:.1f}"]
    memory = Path("/proc/meminfo")
    if memory.exists():
        known = dict(line.split(":", 1) for line in memory.read_text().splitlines())
        total, free = (int(known[name].split()[0]) / 1e6 for name in ("MemTotal", "MemAvailable"))
        parts.append(f"memory {total - free:.1f} of {total:.1f} GB")
    for fields in _gpus("index,utilization.gpu,memory.used,memory.total,power.draw"):
        parts.append("GPU {} {} %, {} of {} MB, {} W".format(*fields))
    return ", ".join(parts)


def probe(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return what the machine has: Python, uv, wheels, Slurm, cores, disk, GPUs, CUDA, torch, internet, its clock."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path("~/.local/bin").expanduser())])
    torch, problem = _tried(*order["torch"])
    return {
        "host": os.uname().nodename,
        "system": f"{os.uname().sysname} {os.uname().machine}",
        "python": sys.version.split()[0],
        "uv": shutil.which("uv", path=path) or "",
        "sbatch": shutil.which("sbatch") or "",
        "cores": os.cpu_count(),
        "free": shutil.disk_usage(root).free,
        "gpus": _gpus("name,memory.total,compute_cap") or [[*one, ""] for one in _gpus("name,memory.total")],
        "driver_cuda": (re.findall(r"CUDA Version: *([0-9.]+)", _output("nvidia-smi") or "") or [""])[0],
        "python3": problem,
        "torch": None if torch is None else torch.partition(" ")[0],
        "torch_cuda": (torch or "").strip().partition(" ")[2],
        "wheels": _wheels(order.get("wheels", "")),
        "internet": _reaches(*order["reach"]),
        "partitions": _partitions(),
        "refusal": _refusal(order.get("sbatch", [])),
        "clock": time.time(),
    }


def _wheels(folder: str) -> int | None:
    """Return the number of wheels in a folder; None without the folder."""
    place = Path(folder).expanduser()
    return len(list(place.glob("*.whl"))) if folder and place.is_dir() else None


def _reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _partitions() -> list[list[str]]:
    """Return the partitions of Slurm: name, with * for the default one, time limit and GPUs."""
    if shutil.which("sinfo") is None:
        return []
    said = _output("sinfo", "--noheader", "--format=%P|%l|%G") or ""
    return [line.split("|") for line in said.splitlines() if line.count("|") == len("||")]


def _refusal(options: list[str]) -> str:
    """Return why Slurm would refuse a job with these options; "" if it would not, or was not asked."""
    if not options or shutil.which("sbatch") is None:
        return ""
    command = ["sbatch", "--test-only", *options, "--wrap=true"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return " ".join(said.stderr.split())[-500:] if said.returncode else ""


def _gpus(fields: str) -> list[list[str]]:
    if shutil.which("nvidia-smi") is None:
        return []
    said = _output("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    return [[part.strip() for part in line.split(",")] for line in (said or "").splitlines()]


def _output(*command: str) -> str | None:
    """Return the output of a command, None if it failed."""
    return _tried(*command)[0]


def _tried(*command: str) -> tuple[str | None, str]:
    """Return the output of a command, or None and why it failed."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    if said.returncode == 0:
        return said.stdout, ""
    return None, " ".join(said.stderr.strip().splitlines()[-1:])[:300] or f"exit code {said.returncode}"
