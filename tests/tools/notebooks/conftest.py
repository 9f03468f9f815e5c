"""The bench that calls of tools run on."""

from tests.execution.conftest import bench

__all__ = ["bench"]
