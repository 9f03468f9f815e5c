"""The tools the model can call: one file per tool, one folder per family."""
