"""What the demo is made of: the task, its settings, and the script its model plays."""

from pathlib import Path

FOLDER = Path(__file__).parent
TASK = FOLDER / "task.md"
SETTINGS = FOLDER / "experiment.json"
SCRIPT = FOLDER / "script.yaml"
