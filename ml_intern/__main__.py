"""The entry point. It runs the installed program whatever the working folder and PYTHONPATH hold, so it goes first."""

import gc
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run ml-intern with the process's arguments and exit with its code."""
    _open_standard_streams()
    try:
        code = _run()
    except KeyboardInterrupt:  # while the program was still being imported
        sys.stderr.write("ml-intern: interrupted\n")
        code = 130
    sys.exit(code)


def _open_standard_streams() -> None:
    """Closed ones lead to nowhere: else the next file or socket that is opened takes their number and their writes."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _run() -> int:
    foreign = {_real(entry) for entry in [".", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]} - {str(HERE)}
    sys.path[:] = [entry for entry in sys.path if _real(entry) not in foreign]
    os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    gc.set_threshold(50_000)  # at 700, the default, importing alone runs the collector a hundred times for nothing
    # A thread that computes lets the event loop on after a millisecond, not five: with several of them, five add up.
    sys.setswitchinterval(0.001)
    # httpx's own command line, imported with it, brings rich and a tenth of a second; None makes httpx go without.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from ml_intern import cli

    return cli.main(sys.argv[1:])


def _real(entry: str) -> str:
    try:
        return str(Path(entry).resolve())
    except OSError:  # the working folder was removed
        return ""


if __name__ == "__main__":
    main()
