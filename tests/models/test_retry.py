"""How long an error is waited out, with a clock that only waits move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.configs.errors import ProviderUnavailable
from ml_intern.models.errors import ConnectFailed, ConnectionDropped, RateLimited, Retryable, ServerError, StreamBroken
from ml_intern.models.retry import RetryPolicy
from ml_intern.models.transports.base import Timeouts


class Outage:
    """A policy whose clock is the sum of its waits."""

    def __init__(self, waits: Timeouts) -> None:
        self.policy = RetryPolicy(waits, jitter=lambda _, longest: longest, clock=lambda: self.now)
        self.now = 0.0

    def wait(self, error: Retryable, *, has_answered: bool = False) -> float:
        seconds = self.policy.wait_after(error, has_answered=has_answered)
        self.now += seconds
        return seconds

    def wait_on(self, error: Retryable) -> None:
        """Wait until the policy gives up."""
        while True:
            self.wait(error)


@pytest.mark.parametrize(
    "error", [ServerError("down"), RateLimited("busy"), ConnectFailed("refused"), ConnectionDropped("reset")]
)
def test_an_outage_is_waited_out_for_the_whole_patience_and_no_longer(error: Retryable) -> None:
    outage = Outage(Timeouts(patience_s=8 * 3600))

    with pytest.raises(ProviderUnavailable, match=r"after \d+ attempts in 8 h") as given_up:
        outage.wait_on(error)

    assert outage.now == 8 * 3600
    assert "--patience" in given_up.value.remedy


def test_backoff_doubles_from_a_second_to_a_minute() -> None:
    outage = Outage(Timeouts(patience_s=3600))

    assert [outage.wait(ServerError("down")) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@given(st.integers(0, 9))
def test_jitter_is_full(used: int) -> None:
    policy = RetryPolicy(Timeouts(), _used=used)

    assert 0 <= policy.wait_after(ServerError("down")) <= min(60, 2**used)


def test_the_wait_is_announced_when_an_outage_begins() -> None:
    outage = Outage(Timeouts(patience_s=3600))
    announced = []
    for error in (ServerError("down"), ServerError("down"), StreamBroken("cut"), ServerError("down again")):
        outage.wait(error)
        announced.append(outage.policy.announcement)

    assert announced == [" (waiting up to 1 h for it)", "", "", " (waiting up to 1 h for it)"]


def test_the_providers_wish_goes_before_the_backoff() -> None:
    outage = Outage(Timeouts(patience_s=3600))

    assert outage.wait(RateLimited("slow", 7.5)) == 7.5
    assert outage.wait(RateLimited("slow", 3000)) == 3000


def test_a_wish_beyond_the_patience_ends_the_call_at_once() -> None:
    outage = Outage(Timeouts(patience_s=3600))

    with pytest.raises(ProviderUnavailable, match="asks to wait 2 h") as given_up:
        outage.wait(RateLimited("slow", 7200))

    assert given_up.value.remedy == "try again later, or wait that long: --patience 120m"


def test_no_patience_is_one_attempt() -> None:
    with pytest.raises(ProviderUnavailable, match=r"^down \("):
        Outage(Timeouts(patience_s=0)).wait(ServerError("down"))


def test_replies_that_break_off_are_limited_by_their_number_however_long_an_outage_was() -> None:
    outage = Outage(Timeouts(patience_s=3600))
    for _ in range(30):
        outage.wait(ServerError("down"))
    for _ in range(10):
        outage.wait(StreamBroken("cut"))

    with pytest.raises(ProviderUnavailable, match="after 41 attempts"):
        outage.wait(StreamBroken("cut"))


def test_an_address_that_never_answered_is_given_up_soon_and_one_that_did_is_waited_for() -> None:
    outage = Outage(Timeouts(patience_s=3600))
    for _ in range(3):
        outage.wait(ServerError("not JSON", retries=3))

    with pytest.raises(ProviderUnavailable) as given_up:
        outage.wait(ServerError("not JSON", retries=3))
    assert given_up.value.remedy == "try again later"  # a call without a thread, such as a probe, gets this line too

    assert outage.wait(ServerError("not JSON", retries=3), has_answered=True) == 8
