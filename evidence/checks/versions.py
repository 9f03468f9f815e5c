"""The versions of the packages in the Python environment that an execution used."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from ml_intern.evidence.observations import Execution

_PYTHON: Final = re.compile(r"/bin/python[\d.]*\Z")


def installed_versions(run: Execution) -> dict[str, str]:
    """Return name -> version of the packages in the environment of the Python that ran. Empty if it is unknown."""
    if run.remote:
        return {}
    words = [path for path in run.started or () if _PYTHON.search(path)]
    words = words or re.findall(r"(?<![\w=])(\S*/bin/python[\d.]*)", run.command)
    folders = [Path(word).parent.parent for word in words] or [run.folder / ".venv"]
    return {name: version for folder in folders for name, version in _installed(str(folder)).items()}


@lru_cache(maxsize=8)
def _installed(folder: str) -> dict[str, str]:
    found = (
        path.name.removesuffix(".dist-info") for path in Path(folder).glob("lib/python3*/site-packages/*.dist-info")
    )
    pairs = (name.rpartition("-") for name in found)
    return {re.sub(r"[-_.]+", "-", name.lower()): version for name, _, version in pairs}
