"""Sessions beside the server, and the fake Hub that tools served by MCP ask."""

from tests.execution.conftest import bench
from tests.session.conftest import lab
from tests.tools.hub.conftest import hub

__all__ = ["bench", "hub", "lab"]
