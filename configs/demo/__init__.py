"""The files of the demo: the task, its settings, and the script of its model."""

from pathlib import Path

FOLDER = Path(__file__).parent
TASK = FOLDER / "task.md"
SETTINGS = FOLDER / "experiment.json"
SCRIPT = FOLDER / "script.yaml"
