"""The program that a job of Slurm starts with the folder of its run, and a job of Ray with `ray`, ROOT and an order."""

import base64
import io
import sys
from pathlib import Path

from ml_intern.runs.remote.far_side.ray import run_ray_job
from ml_intern.runs.remote.far_side.serve import serve
from ml_intern.runs.remote.far_side.slurm import run_job


def main(kind: str, *words: str) -> int:
    """Run what a job is for, and return its exit code."""
    if kind == "ray-run":
        return run_ray_job(Path(words[0]).expanduser())
    if kind == "ray-call":
        root, operation, order = words
        sys.stdin = io.TextIOWrapper(io.BytesIO(base64.b64decode(order) + b"\n"))
        serve(root, operation, sys.argv[0])
        return 0
    run_job(Path(kind))
    return 0


sys.exit(main(*sys.argv[1:]))
