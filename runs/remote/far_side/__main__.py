"""The program that a Slurm job starts, with the folder of its run."""

import sys
from pathlib import Path

from ml_intern.runs.remote.far_side.slurm import run_job

run_job(Path(sys.argv[1]))
