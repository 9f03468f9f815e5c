"""The entry point of the process. It removes the working folder and PYTHONPATH from the import path first."""

import os
import sys

from ml_intern.startup import prepare_process


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
    prepare_process()
    from ml_intern import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    main()
