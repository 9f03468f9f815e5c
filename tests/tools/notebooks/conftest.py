"""The bench that calls of tools run on. These tests need nbformat and Jupyter (the dev group)."""

from importlib.util import find_spec

from tests.execution.conftest import bench

__all__ = ["bench"]
collect_ignore_glob = [] if find_spec("nbformat") and find_spec("jupyter_client") else ["test_*.py"]
