"""Ids of checkpoints: packed without loss, and their time."""

import pytest

from ml_intern.store.checkpoints.packing import id_timestamp, pack_id, unpack_id

RFC_9562 = "1ec9414c-232a-6b00-b3c8-9f6bdeced846"
"""The example of RFC 9562 for 2022-02-22 19:22:22 UTC."""


pytestmark = pytest.mark.sqlite_file


def test_the_time_of_a_checkpoint_is_that_of_its_id() -> None:
    assert id_timestamp(RFC_9562) == 1_645_557_742


@pytest.mark.parametrize("id", ["", "mine", RFC_9562.replace("-6b00", "-4b00")])
def test_an_id_without_a_time_has_none(id: str) -> None:
    assert id_timestamp(id) == 0.0


@pytest.mark.parametrize("id", [RFC_9562, "mine", "", RFC_9562.upper()])
def test_a_packed_id_is_unpacked_unchanged(id: str) -> None:
    assert unpack_id(pack_id(id)) == id
