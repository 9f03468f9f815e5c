"""Clients of services that ml-intern does not use take no time at the start, and are there for whoever asks."""

import subprocess
import sys

CODE = """
import sys
from ml_intern.on_demand import PACKAGES, load_on_demand

load_on_demand()
import langgraph.graph

print(sorted(PACKAGES - sys.modules.keys()))
print([one in sys.modules for one in ("langsmith.types.run", "langgraph_sdk.client")])
import langgraph_sdk
from langsmith.types import Run

print(Run.__module__, langgraph_sdk.get_client.__name__)
"""


def test_packages_are_loaded_when_one_of_their_names_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "[False, False]", "langsmith.types.run get_client"], done.stderr
