"""The bench of execution's tests."""

from tests.execution.conftest import bench as bench
