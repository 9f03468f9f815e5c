"""How much a user may send within a minute."""

from ml_intern.server.team.people.limits import PostLimits


def test_the_minute_is_a_sliding_one_and_each_user_has_one() -> None:
    now = 0.0
    limits = PostLimits(2, lambda: now)
    assert (limits.wait("ada"), limits.wait("ada"), limits.wait("ada"), limits.wait("bob")) == (0, 0, 61, 0)
    now = 59.0
    assert limits.wait("ada") == 2
    now = 60.0
    assert limits.wait("ada") == 0
