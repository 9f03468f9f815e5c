"""The limit above which a conversation is compacted: the threshold, the window, and room for the longest reply."""

import pytest

from ml_intern.graph.context import RunOptions
from tests.execution.conftest import Bench

MODEL = "vllm/any"


@pytest.mark.parametrize(
    ("window", "threshold", "reply", "limit"),
    [
        (0, 170_000, {}, 170_000),
        (100_000, 170_000, {}, 90_000),
        (100_000, 50_000, {}, 50_000),
        (100_000, 170_000, {"max_tokens": 32_000}, 68_000),
        (100_000, 170_000, {"max_tokens": 1_000}, 90_000),
    ],
)
async def test_the_smallest_of_threshold_window_and_room_for_a_reply_counts(
    bench: Bench, window: int, threshold: int, reply: dict[str, int], limit: int
) -> None:
    options = RunOptions(MODEL, str(bench.workspace), compact_threshold=threshold, model_params=reply)
    if window:
        bench.services.models.known.windows[MODEL] = window
    assert bench.services.context_limit(options) == limit
