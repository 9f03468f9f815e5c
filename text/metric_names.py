"""Names in the output of runs."""

STEPS = ("step", "global_step", "steps", "iter", "iteration", "epoch")
"""Names that count the progress of a run and do not measure it."""
