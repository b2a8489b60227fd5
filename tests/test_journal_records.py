"""What a line of the journal holds, byte for byte, and what it is as a row of a table."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.journals import BUYER, entry, entry_v1, note, request, write

from raydistill.teacher.journal import Folder, readings, records
from raydistill.teacher.journal.export import export
from raydistill.teacher.journal.records import Entry, content_of, decode, encode, kind_of
from raydistill.teacher.limits.amount import Amount
from raydistill.teacher.limits.price import Price

PRICE = Price.flat(1.0, 0.5, 2.0)


def replied(content: bytes, **fields: Any) -> Entry:
    """Return the line of a reply to request 0 for two samples, as it is read back."""
    options = {"attempts": 3, "reserved": (20, 8), "price": PRICE.to_json(), "task": "t", "kind": "rationale", **fields}
    line = encode(records.reply(request(0).keys(range(2)), 200, content, request(0).canonical(), BUYER, **options))
    back = decode(line)
    assert back is not None
    return back


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xfe{}")
@example("é\u2028".encode())
def test_a_body_is_kept_byte_for_byte(content: bytes) -> None:
    back = replied(content)
    assert content_of(back) == content
    assert ("body" in back) == (content.decode(errors="ignore").encode() == content)


def test_a_reply_keeps_who_bought_it_and_what_it_may_have_taken() -> None:
    back = replied(b"x")
    assert (back["run"], back["session"], back["stage"]) == BUYER
    assert (back["task"], back["kind"], back["attempts"], back["status"]) == ("t", "rationale", 3, 200)
    assert (back["reserved"], back["price"]) == ([20, 8], [[0, 1.0, 0.5, 2.0]])
    assert back["request"] == request(0).canonical()
    assert "cut" not in back


def test_the_beginning_of_a_body_is_no_answer_and_counts_at_its_reservation() -> None:
    whole = json.dumps({"choices": [{"text": "7"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()
    assert readings.read(replied(whole)).problem == ""
    cut = readings.read(replied(whole, is_cut=True))
    assert cut.problem == "the reply is longer than what is kept of it"
    assert cut.usd == 20 * 1.0 + 8 * 2.0
    assert not cut.is_stated
    answers = [cut.answer(key) for key in cut.keys]
    assert [answer.usd for answer in answers if answer] == [36.0, 0.0]  # all samples that were asked for
    assert [answer.text + answer.finish_reason for answer in answers if answer] == ["", ""]


def test_what_a_line_is_about() -> None:
    assert kind_of(entry(0, ["a"])) == kind_of(entry_v1(0, ["a"])) == "reply"
    assert kind_of(note(1)) == "open"
    assert kind_of(records.lost_call("00", Amount(1.0, 1), "time-out", BUYER)) == "lost"
    assert kind_of(records.claim(["00"], "w", 0.0, BUYER)) == "claim"


def test_notes_say_whose_they_are() -> None:
    lost = records.lost_call("00", Amount(0.5, 7), "time-out", BUYER)
    assert (lost["run"], lost["stage"], lost["lost"], lost["why"]) == ("run", "zero_shot", [0.5, 7], "time-out")
    opened = note(3)
    assert (opened["run"], opened["stage"], opened["open"], opened["n"]) == ("run", "zero_shot", [0.5, 3], 3)
    claim = records.claim(["00"], "w", 5.0, BUYER)
    assert all(abs(made["time"] - time.time()) < 5 for made in (lost, opened, claim))
    assert (claim["run"], claim["session"], claim["writer"], claim["until"]) == ("run", "s", "w", 5.0)


@pytest.mark.parametrize("line", [b"", b"\n", b"00000000 {}", b"00000000 {}\n", b"zzzzzzzz {}\n", b"00000000 \n"])
def test_what_is_no_line(line: bytes) -> None:
    assert decode(line) is None


def test_of_version_1_usage_is_believed_unless_it_was_estimated_or_is_impossible() -> None:
    line = entry_v1(0, ["a text", "b"])
    reading = readings.read(line, PRICE)
    assert (reading.is_stated, reading.usage, reading.usd) == (True, (10, 2, 7), 0.5)
    estimated: Entry = {**line, "estimated": True}
    assert not readings.read(estimated).is_stated
    underflow = readings.read({**line, "usage": [10, 2, 2**64 - 1]}, PRICE)
    assert not underflow.is_stated
    assert underflow.usage.completion_tokens == 2 + 1
    assert underflow.usd == PRICE.of(*underflow.usage)
    unpriced: Entry = {**line, "usd": None}
    assert readings.read(unpriced).usd is None
    assert readings.read(unpriced, PRICE).usd == PRICE.of(10, 2, 7)


def test_a_journal_as_a_table(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "journal"))
    body: dict[str, Any] = {
        "id": "id-1",
        "model": "m-2",
        "system_fingerprint": "fp",
        "choices": [{"text": "7"}, {"text": "8"}],
    }
    body["usage"] = {"prompt_tokens": 9, "completion_tokens": 5, "cached_tokens": 4}
    write(folder, [replied(json.dumps(body).encode()), note(1)]).close()
    file = str(tmp_path / "table.parquet")
    assert export(folder, file, []) == 2
    first, second = pq.read_table(file).to_pylist()
    keys = [bytes.fromhex(key) for key in request(0).keys(range(2))]
    both = {
        **{"problem": "", "response": keys[0], "response_id": "id-1", "served_model": "m-2"},
        **{"system_fingerprint": "fp", "session": "s", "run": "run", "stage": "zero_shot", "task": "t"},
        **{"kind": "rationale", "model": "m", "time": first["time"]},
    }
    once = {"prompt_tokens": 9, "cached_tokens": 4, "completion_tokens": 3, "attempts": 3, "usd": 5 + 2 + 10.0}
    never = {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 2, "attempts": 0, "usd": 0.0}
    canonical = first.pop("request")
    assert json.loads(canonical) == request(0).canonical()
    assert second.pop("request") == ""
    reason = first.pop("finish_reason"), second.pop("finish_reason")
    assert reason[0] == reason[1]
    assert first == {**both, **once, "key": keys[0], "text": "7"}
    assert second == {**both, **never, "key": keys[1], "text": "8"}
