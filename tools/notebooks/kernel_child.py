"""A program: runs the cells of a notebook in a fresh kernel and writes their outputs into the file. No ml_intern code.

It is started in the sandbox, as `kernel_child.py NOTEBOOK LAST_CELL SECONDS PYTHON...`, and prints the outputs.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

Json = dict[str, Any]

READY_SECONDS = 60
MAX_SHOWN = 4_000
ERROR = ("ename", "evalue", "traceback")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def main(path: str, last: int, seconds: float, pythons: Sequence[str]) -> int:
    """Run the cells up to number `last` and return the exit code."""
    text = Path(path).read_text(encoding="utf-8")
    document = json.loads(text)
    python = next((one for one in pythons if has_kernel(one)), None)
    if python is None:
        print("no Python with ipykernel was found; install it: uv pip install ipykernel")
        return 1
    print(f"[kernel: {python}]", flush=True)
    ok = run_cells(document, python, str(Path(path).resolve().parent), last, time.monotonic() + seconds)
    return save(path, text, document) or (0 if ok else 1)


def has_kernel(python: str) -> bool:
    """Return whether a Python can be the kernel."""
    words = [python, "-c", "import ipykernel"]
    try:
        found = subprocess.run(words, capture_output=True, timeout=READY_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


def run_cells(document: Json, python: str, folder: str, last: int, deadline: float) -> bool:
    """Run the code cells in order, up to the first error. Return whether all ran."""
    # Unix sockets work in every sandbox; their paths have to be short.
    manager = KernelManager(transport="ipc", connection_file=f"{tempfile.mkdtemp()}/k.json")
    spec: Any = manager.kernel_spec
    spec.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel(cwd=folder)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=READY_SECONDS)
        cells = enumerate(document["cells"][:last], 1)
        return all(run_cell(manager, client, number, cell, deadline) for number, cell in cells)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run_cell(manager: KernelManager, client: Any, number: int, cell: Json, deadline: float) -> bool:
    """Run a cell, print its outputs and put them into it. Return whether the next cell may run."""
    source = "".join(cell["source"])
    if cell.get("cell_type") != "code" or not source.strip():
        return True
    print(f"[cell {number}]", flush=True)
    cell["outputs"], cell["execution_count"] = [], None
    try:
        left = max(deadline - time.monotonic(), 0.1)
        reply = client.execute_interactive(
            source, allow_stdin=False, timeout=left, output_hook=partial(add_output, cell)
        )
    except TimeoutError:
        manager.interrupt_kernel()
        print(f"[cell {number} was interrupted: the time limit was reached]", flush=True)
        return False
    cell["execution_count"] = reply["content"].get("execution_count")
    return str(reply["content"]["status"]) == "ok"


def add_output(cell: Json, message: Json) -> None:
    """Add an output message of the kernel to a cell, and print it."""
    kind, content = message["header"]["msg_type"], message["content"]
    if kind == "clear_output":
        cell["outputs"] = []
    elif kind == "stream":
        add_stream(cell, content)
    elif kind == "error":
        cell["outputs"].append(
            {"output_type": kind, **{name: content[name] for name in ("ename", "evalue", "traceback")}}
        )
        show(_COLOUR.sub("", "\n".join(content["traceback"])) + "\n")
    elif kind in ("execute_result", "display_data"):
        extra = {"execution_count": content.get("execution_count")} if kind == "execute_result" else {}
        output = {"output_type": kind, "data": content["data"], "metadata": content.get("metadata", {}), **extra}
        cell["outputs"].append(output)
        images = [one for one in content["data"] if one.startswith("image/")]
        show(content["data"].get("text/plain", "") + "".join(f" ({one})" for one in images) + "\n")


def add_stream(cell: Json, content: Json) -> None:
    """Add printed text to a cell, joined with the text before it."""
    latest = cell["outputs"][-1] if cell["outputs"] else {}
    if latest.get("output_type") == "stream" and latest.get("name") == content["name"]:
        latest["text"] += content["text"]
    else:
        cell["outputs"].append({"output_type": "stream", "name": content["name"], "text": content["text"]})
    sys.stdout.write(content["text"])
    sys.stdout.flush()


def show(text: str) -> None:
    """Print a text, of a long one the beginning."""
    more = f"\n[... {len(text) - MAX_SHOWN:,} characters left out]\n" if len(text) > MAX_SHOWN else ""
    print(text[:MAX_SHOWN], end=more, flush=True)


def save(path: str, before: str, document: Json) -> int:
    """Write the notebook unless another program changed it meanwhile. Return the exit code."""
    try:
        if Path(path).read_text(encoding="utf-8") != before:
            print("[the outputs were not saved: another program changed the notebook meanwhile]")
            return 1
        second = before.split("\n", 2)[1] if "\n" in before else " "
        indent = len(second) - len(second.lstrip(" ")) or 1
        Path(path).write_text(json.dumps(document, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"[the outputs were not saved: {error.strerror}]")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
