"""The entry point of the process. It removes the working folder and PYTHONPATH from the import path first."""

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
    """Open closed standard streams on the null device: the next file or socket would get their descriptor otherwise."""
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
    gc.set_threshold(50_000)  # at the default of 700, imports alone trigger about a hundred useless collections
    # A computing thread yields to the event loop after 1 ms instead of 5 ms: with several threads the delays add up.
    sys.setswitchinterval(0.001)
    # httpx imports its own command line and with it rich, which takes 0.1 s; with None in its place httpx skips it.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from ml_intern.on_demand import load_on_demand

    load_on_demand()
    from ml_intern import cli

    return cli.main(sys.argv[1:])


def _real(entry: str) -> str:
    try:
        return str(Path(entry).resolve())
    except OSError:  # the working folder was removed
        return ""


if __name__ == "__main__":
    main()
