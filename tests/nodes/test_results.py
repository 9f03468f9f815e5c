"""Functions that the nodes share."""

import pytest
from langgraph.runtime import ExecutionInfo, Runtime

from ml_intern.nodes.results import thread_of


@pytest.mark.parametrize("info", [None, ExecutionInfo("checkpoint", "", "task")])
def test_a_graph_without_a_thread_says_what_it_requires(info: ExecutionInfo | None) -> None:
    with pytest.raises(RuntimeError, match="requires a checkpointer and a thread id"):
        thread_of(Runtime(execution_info=info))
