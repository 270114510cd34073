"""Calls in the journal, and records that are missing in a stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from steiner.core import Settings, StorageError
from steiner.store import CallTotals, Journal, RunDir, Stage, StoredCall, StoredRecord

KEY = "0f" * 16


def call(
    key: str = KEY, body: bytes | None = b'{"a":1}', cost: int | None = 7, kind: str = "draft"
) -> StoredCall:
    return StoredCall(key, kind, 100, 10, cost, body)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def records(*keys: str) -> list[StoredRecord]:
    return [StoredRecord(key, ordinal, key.encode()) for ordinal, key in enumerate(keys)]


def test_an_answered_call_is_found_again(journal: Journal) -> None:
    assert journal.call(KEY) is None
    journal.put_calls([call(), call("ab" * 16, body=b"x" * 9000, cost=None)])
    assert journal.call(KEY) == call()
    assert journal.call("ab" * 16) == call("ab" * 16, body=b"x" * 9000, cost=None)


def test_a_failed_call_is_no_answer_but_its_cost_stays(journal: Journal) -> None:
    journal.put_calls([call(body=None)])
    journal.put_calls([call(body=None)])
    assert journal.call(KEY) is None
    assert journal.call_totals() == {"draft": CallTotals(0, 2, 200, 20, 14, 0, 0)}
    journal.put_calls([call()])
    found = journal.call(KEY)
    assert found is not None
    assert (found.body, found.cost, found.prompt_tokens) == (b'{"a":1}', 21, 300)
    assert journal.call_totals() == {"draft": CallTotals(1, 2, 300, 30, 21, 0, 0)}


def test_totals_tell_what_has_no_price(journal: Journal) -> None:
    journal.put_calls([call(), call("11" * 16, cost=None), call("22" * 16, kind="resolve")])
    totals = journal.call_totals()
    assert totals == {
        "draft": CallTotals(2, 0, 200, 20, 7, 100, 10),
        "resolve": CallTotals(1, 0, 100, 10, 7, 0, 0),
    }
    assert totals["draft"].plus(totals["resolve"]) == CallTotals(3, 0, 300, 30, 14, 100, 10)


def test_no_stage_begun_anew_deletes_calls_or_the_parts_of_another_stage(tmp_path: Path) -> None:
    class Plain(Settings):
        seed: int = 0

    with RunDir(tmp_path / "run") as run:
        stage = Stage(run, "traces", Plain())
        run.journal.put_calls([call()])
        stage.run.journal.put_all(
            {name: records("a", "b") for name in ("traces", "traces/accounts", "traces2", "trace")}
        )
        Stage(run, "traces", Plain(seed=1), force=True)
        assert run.journal.call(KEY) == call()
        counts = {n: run.journal.count(n) for n in ("traces", "traces/accounts", "traces2", "trace")}
        assert counts == {"traces": 0, "traces/accounts": 0, "traces2": 2, "trace": 2}


def test_missing_records_come_in_order_while_others_are_stored(journal: Journal) -> None:
    keys = [f"k{i:03}" for i in range(50)]
    journal.put("problems", records(*keys))
    journal.put("traces", records(*keys)[::3])
    seen = []
    for record in journal.missing("problems", "traces", batch=7):
        seen.append(record.key)
        journal.put("traces", [record])
    assert seen == [key for i, key in enumerate(keys) if i % 3]
    assert list(journal.missing("problems", "traces")) == []


def test_forgotten_records_are_missing_again_and_later_stages_notice(journal: Journal) -> None:
    journal.begin("traces", {}, {"problems": "x"})
    journal.put_all(
        {"traces": records("a", "b"), "traces/accounts": records("a", "b"), "other": records("a")}
    )
    journal.complete("traces", {"n": 2})
    journal.forget("traces", ["a"], {"problems": "x", "retries": "1"})
    assert journal.keys("traces") == journal.keys("traces/accounts") == {"b"}
    assert journal.keys("other") == {"a"}
    state = journal.stage("traces")
    assert state is not None
    assert (state.complete, state.summary) == (False, {})
    assert state.inputs == {"problems": "x", "retries": "1"}


def test_several_stages_are_stored_together_or_not_at_all(journal: Journal) -> None:
    def broken() -> object:
        yield StoredRecord("a", 0, b"1")
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        journal.put_all({"one": records("a"), "two": broken()})  # type: ignore[dict-item]
    assert journal.count("one") == 0


def test_a_journal_written_before_there_were_calls_is_read_and_extended(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    journal.put("traces", records("a"))
    journal._db.execute("DROP TABLE calls")
    journal.close()
    assert Journal(path, read_only=True).count("traces") == 1
    again = Journal(path)
    again.put_calls([call()])
    assert again.call(KEY) == call()


def test_a_damaged_reply_is_an_error_not_an_answer(journal: Journal) -> None:
    journal.put_calls([call()])
    journal._db.execute("UPDATE calls SET body=x'00'")
    with pytest.raises(StorageError, match="cannot be read"):
        journal.call(KEY)
