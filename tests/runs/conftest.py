"""The bench that runs are started on."""

from tests.execution.conftest import bench

__all__ = ["bench"]
