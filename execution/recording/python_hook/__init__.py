"""The folder that is put on PYTHONPATH of recorded commands. Python imports `sitecustomize` from it at its start."""
