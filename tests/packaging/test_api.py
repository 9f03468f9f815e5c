"""The Python API: what a tool package imports, lazily and as the same objects the program uses."""

import subprocess
import sys

import pytest

import ml_intern
from ml_intern import graph, tools
from ml_intern.configs.version import version
from ml_intern.execution import call, tool
from ml_intern.graph.build import build_graph


def test_a_tool_package_gets_the_objects_of_the_program() -> None:
    assert tools.tool is tool.tool
    assert (tools.ToolArgs, tools.ToolContext, tools.ToolSpec) == (tool.ToolArgs, tool.ToolContext, tool.ToolSpec)
    assert tools.ExternalEffects is tool.ExternalEffects
    assert (tools.ToolError, tools.ToolResult) == (call.ToolError, call.ToolResult)
    assert graph.build_graph is build_graph
    assert ml_intern.__version__ == version()


def test_toolfault_is_the_name_of_toolerror_in_0_1() -> None:
    assert tools.ToolFault is tools.ToolError


def test_every_offered_name_exists_and_others_are_an_attribute_error() -> None:
    for module in (tools, graph):
        assert all(hasattr(module, name) for name in module.__all__)
    for module in (tools, graph, ml_intern):
        with pytest.raises(AttributeError, match="no_such_name"):
            module.__getattr__("no_such_name")


def test_importing_the_package_loads_nothing_else() -> None:
    code = (
        "import sys, ml_intern, ml_intern.tools, ml_intern.graph; print([m for m in sys.modules if 'ml_intern' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ml_intern', 'ml_intern.tools', 'ml_intern.graph']"
