"""The collector is as before after a run, however that ends."""

from __future__ import annotations

import gc

import pytest

from steiner.synthesis.collector import THRESHOLDS, patient_collector


def test_the_collector_is_restored_after_an_error():
    before = gc.get_threshold()
    assert before != THRESHOLDS

    def fail() -> None:
        with patient_collector():
            assert gc.get_threshold() == THRESHOLDS
            assert gc.get_freeze_count() > 0
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_what_others_froze_stays_frozen():
    gc.freeze()
    try:
        with patient_collector():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
