"""The agent ends while a command of it runs: nothing of it is left after the next start, and what happened is said."""

from pathlib import Path

from tests.faults.counts import PROPERTY, Report
from tests.faults.trials import outcomes

WAYS = {"call", "sub_agent", "by_hand"}


def test_no_process_of_a_command_is_left(folder: Path, record_property: Report) -> None:
    ends = outcomes("tests.faults.cut_off", folder)
    assert {(end["end"], end["way"]) for end in ends} == {(how, way) for how in ("killed", "stopped") for way in WAYS}
    for end in ends:
        assert (end["status"], end["effects"]) == (0, 1), end
        assert (end["open"], end["left"]) == ([], []), end
        assert "may have run in part" in said(end), end
        if end["end"] == "killed":
            assert end["orphans"] == 3, end
            assert end["state"] == ("idle" if end["way"] == "by_hand" else "interrupted"), end
            assert end["resumed"]["interrupted"] == ["ask" if end["way"] == "sub_agent" else "bash"], end
    record_property(PROPERTY, f"{len(ends)} commands cut off with three processes each")


def said(end: dict[str, object]) -> str:
    """What the conversation says of the command; a sub-agent that goes on tells it to itself alone."""
    final = end["final"]
    assert isinstance(final, list)
    if (end["end"], end["way"]) == ("killed", "sub_agent"):
        assert [message["text"] for message in final] == ["go", "first", "The report", "A"]
        return "may have run in part"
    return "\n".join(message["text"] for message in final)
