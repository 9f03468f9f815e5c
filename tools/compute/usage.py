"""How much CPU, memory and GPU the processes of a run use now."""

import os
import shutil
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

_PROC = Path("/proc")
_SAMPLE_SECONDS = 0.2
_GPU_SECONDS = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def use_of(pid: int) -> str:
    """One line about all descendants of a process, `pid` itself left out; "" when there are none or no /proc."""
    if not _PROC.is_dir() or not (found := _descendants(pid)):
        return ""
    before, began = sum(map(_cpu_seconds, found)), time.monotonic()
    time.sleep(_SAMPLE_SECONDS)
    now = sum(map(_cpu_seconds, found))
    cores = max(now - before, 0.0) / (time.monotonic() - began)
    memory = sum(map(_memory, found)) / (1 << 20)
    parts = [f"{len(found)} processes", f"CPU {cores:.1f} cores", f"memory {memory:,.0f} MB"]
    return ", ".join([*parts, *_gpu(found)])


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = list[int](), [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when the process is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _memory(pid: int) -> int:
    """Bytes, what is shared with others counted in part where the kernel tells."""
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        fields = _stat(pid)
        return int(fields[21]) * _PAGE if fields else 0
    return 0


def _gpu(pids: Collection[int]) -> list[str]:
    """The use of each GPU that one of the processes is on; in a container only the GPUs themselves can be seen."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = "--query-gpu=index,utilization.gpu,memory.used,memory.total"
    mine = "--query-compute-apps=pid,used_memory"
    rows, own = _asked(query), _asked(mine)
    held = sum(float(used) for pid, used, *_ in own if pid.isdigit() and int(pid) in pids and _is_number(used))
    lines = [f"GPU {index} {busy} %, {used} of {total} MB" for index, busy, used, total in rows]
    return [*lines, *([f"{held:,.0f} MB of GPU memory its own"] if held else [])]


def _asked(query: str) -> list[list[str]]:
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_GPU_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = said.stdout.splitlines() if said.returncode == 0 else []
    return [[field.strip() for field in line.split(",")] for line in lines if line.strip()]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
