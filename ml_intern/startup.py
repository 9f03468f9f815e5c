"""Prepare a process of ml-intern before anything else is imported: its import path, environment and interpreter."""

import gc
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def prepare_process() -> None:
    """Remove the working folder and PYTHONPATH from the import path, and set what other packages read when imported."""
    foreign = {_real(entry) for entry in [".", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]} - {str(HERE)}
    sys.path[:] = [entry for entry in sys.path if _real(entry) not in foreign]
    os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    gc.set_threshold(50_000)  # at the default of 700, imports alone trigger about a hundred useless collections
    # A computing thread yields to the event loop after 1 ms instead of 5 ms: with several threads the delays add up.
    sys.setswitchinterval(0.001)
    # httpx imports its own command line and with it rich, which takes 0.1 s; with None in its place httpx skips it.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from ml_intern.on_demand import load_on_demand

    load_on_demand()


def _real(entry: str) -> str:
    try:
        return str(Path(entry).resolve())
    except OSError:  # the working folder was removed
        return ""
