import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.configs.errors import ProviderUnavailable
from ml_intern.models.errors import ConnectFailed, RateLimited, ServerError
from ml_intern.models.retry import RetryPolicy
from ml_intern.models.transports.base import Timeouts


def longest(low: float, high: float) -> float:
    return high


def test_backoff_doubles_from_a_second_to_a_minute() -> None:
    patience = RetryPolicy(Timeouts(), jitter=longest)

    waits = [patience.wait_after(ServerError("down")) for _ in range(10)]

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    with pytest.raises(ProviderUnavailable, match="after 11 attempts"):
        patience.wait_after(ServerError("down"))


@given(st.integers(0, 9))
def test_jitter_is_full(used: int) -> None:
    patience = RetryPolicy(Timeouts(), used=used)

    assert 0 <= patience.wait_after(ServerError("down")) <= min(60, 2**used)


def test_the_providers_wish_goes_before_the_backoff() -> None:
    patience = RetryPolicy(Timeouts(), jitter=longest)

    assert patience.wait_after(RateLimited("slow", 7.5)) == 7.5
    assert patience.wait_after(RateLimited("slow", 86_400)) == 600


def test_a_fault_may_want_fewer_tries() -> None:
    patience = RetryPolicy(Timeouts(), used=3)

    with pytest.raises(ProviderUnavailable) as given_up:
        patience.wait_after(ConnectFailed("no connection", retries=3))
    assert given_up.value.remedy == "try again later"  # a call without a thread, such as a probe, gets this line too
