"""Renew requirements.lock: every dependency with its version and hashes, and no index, host or URL."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPORT = ("uv", "export", "--no-header", "--no-annotate", "--no-emit-project", "--no-dev")
HEADER = """\
# Every dependency of ml-intern with its version and hashes; any package index will do. Renewed by `make lock`.
#   pip install --require-hashes -r requirements.lock && pip install --no-deps .
"""


def main() -> None:
    """Export the resolution of pyproject.toml (repeatable: exclude-newer) into requirements.lock."""
    exported = subprocess.run(EXPORT, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (ROOT / "requirements.lock").write_text(HEADER + exported)


if __name__ == "__main__":
    main()
