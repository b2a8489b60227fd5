"""What is noted ahead: claims of runs that share a journal, and what calls in flight may take."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from raydistill.teacher import journal
from raydistill.teacher.calls import claims as claims_module
from raydistill.teacher.calls.claims import Claims
from raydistill.teacher.calls.open_calls import ROOM, OpenCalls
from raydistill.teacher.journal.records import Buyer, Entry, kind_of
from raydistill.teacher.journal.scan import scan
from raydistill.teacher.limits.amount import Amount

BUYER = Buyer("run", "s", "zero_shot")
KEYS = [f"{i:064x}" for i in range(4)]
CALL = Amount(0.5, 100)


class Runs:
    """Two runs that share a journal, or what else two `buyers` are."""

    def __init__(self, path: Path, *buyers: Buyer) -> None:
        buyers = buyers or (Buyer("run 0", "s", "zero_shot"), Buyer("run 1", "s", "zero_shot"))
        self.folder = journal.Folder(str(path))
        self.writers = [journal.Writer(self.folder) for _ in range(2)]
        self.claims = []
        for buyer, writer in zip(buyers, self.writers, strict=True):
            self.claims.append(Claims(journal.Reader(self.folder), writer, buyer))

    async def __aenter__(self) -> Runs:
        return self

    async def __aexit__(self, *_: object) -> None:
        for claims, writer in zip(self.claims, self.writers, strict=True):
            await claims.close()
            writer.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims hold for 0.6 s, and are renewed every 0.15 s."""
    monkeypatch.setattr(claims_module, "CLAIM_S", 0.6)
    monkeypatch.setattr(claims_module, "RENEW_S", 0.15)
    monkeypatch.setattr(claims_module, "POLL_S", 0.02)


def test_what_one_run_is_buying_another_does_not(tmp_path: Path) -> None:
    async def use() -> None:
        async with Runs(tmp_path) as runs:
            first, second = runs.claims
            assert await first.claim(KEYS[:2]) == KEYS[:2]
            await asyncio.sleep(claims_module.POLL_S)
            assert await second.claim(KEYS[1:3]) == KEYS[2:3]
            assert await first.claim(KEYS[1:2]) == KEYS[1:2]  # its own

    asyncio.run(use())


@pytest.mark.parametrize(
    ("run", "session", "is_free"), [("run", "s", False), ("another", "another", False), ("run", "another", True)]
)
def test_whose_claims_count(tmp_path: Path, run: str, session: str, is_free: bool) -> None:
    """Another actor's of the same command, and another run's; not those of an earlier command, which is over."""

    async def use() -> None:
        async with Runs(tmp_path, Buyer(run, session, "zero_shot"), BUYER) as runs:
            first, second = runs.claims
            await first.claim(KEYS)
            await asyncio.sleep(claims_module.POLL_S)
            assert await second.claim(KEYS) == (KEYS if is_free else [])

    asyncio.run(use())


def test_of_runs_that_claim_at_once_one_buys(tmp_path: Path) -> None:
    async def use() -> None:
        async with Runs(tmp_path) as runs:
            first, second = runs.claims
            both = await asyncio.gather(first.claim(KEYS), second.claim(KEYS))
            assert sorted(both[0] + both[1]) == KEYS

    asyncio.run(use())


def test_claims_made_at_once_are_one_note(tmp_path: Path) -> None:
    async def use() -> None:
        async with Runs(tmp_path) as runs:
            parts = await asyncio.gather(*(runs.claims[0].claim([key]) for key in KEYS))
            assert parts == [[key] for key in KEYS]

    asyncio.run(use())
    [note] = scan(journal.Folder(str(tmp_path)))
    assert (note["claim"], note["run"]) == (KEYS, "run 0")


def test_a_claim_is_renewed_until_its_call_is_over(tmp_path: Path, short: None) -> None:
    async def use() -> None:
        async with Runs(tmp_path) as runs:
            first, second = runs.claims
            await first.claim(KEYS)
            await asyncio.sleep(1.0)
            assert await second.claim(KEYS[:1]) == []
            first.release(KEYS[:2])
            await asyncio.sleep(0.8)
            assert await second.claim(KEYS) == KEYS[:2]

    asyncio.run(use())


def test_a_run_that_is_gone_holds_nobody_up(tmp_path: Path, short: None) -> None:
    async def use() -> None:
        async with Runs(tmp_path) as runs:
            first, second = runs.claims
            await first.claim(KEYS)
            await first.close()
            assert await second.claim(KEYS) == []
            await asyncio.sleep(0.8)
            assert await second.claim(KEYS) == KEYS

    asyncio.run(use())


def notes(path: Path) -> list[tuple[int, float, float]]:
    """Return (number, USD, tokens) of the notes about calls in flight."""
    entries = [entry for entry in scan(journal.Folder(str(path))) if kind_of(entry) == "open"]
    return sorted((entry["n"], entry["open"][0], entry["open"][1]) for entry in entries)


def test_a_steady_stream_of_calls_needs_one_note(tmp_path: Path) -> None:
    async def use() -> None:
        writer = journal.Writer(journal.Folder(str(tmp_path)))
        calls = OpenCalls(writer, BUYER)
        await asyncio.gather(*(calls.begin(CALL) for _ in range(40)))
        for _ in range(200):
            calls.end(CALL)
            await calls.begin(CALL)
        await asyncio.gather(*(calls.begin(CALL) for _ in range(10)))  # there is room for as many
        assert notes(tmp_path) == [(1, 20.0 * ROOM, 4000 * ROOM)]
        await calls.close()  # calls are in flight: they may be paid for yet
        assert len(notes(tmp_path)) == 1
        await calls.begin(CALL)
        assert notes(tmp_path)[1:] == [(2, 25.5 * ROOM, 5100 * ROOM)]
        for _ in range(51):
            calls.end(CALL)
        await calls.close()
        await calls.close()
        assert notes(tmp_path)[2:] == [(3, 0, 0)]
        writer.close()

    asyncio.run(use())


@pytest.mark.parametrize("second", [Amount(0.5, 0), Amount(0.0, 100)])
def test_a_note_covers_money_and_tokens(tmp_path: Path, second: Amount) -> None:
    async def use() -> None:
        writer = journal.Writer(journal.Folder(str(tmp_path)))
        calls = OpenCalls(writer, BUYER)
        await calls.begin(CALL)
        await calls.begin(second)
        assert [number for number, _, _ in notes(tmp_path)] == [1, 2]
        writer.close()

    asyncio.run(use())


def test_a_call_that_no_note_covers_is_not_sent(tmp_path: Path) -> None:
    class Full(journal.Writer):
        async def append(self, entry: Entry) -> journal.Place:
            raise journal.JournalError("the disk is full")

    async def use() -> None:
        calls = OpenCalls(Full(journal.Folder(str(tmp_path))), BUYER)
        outcomes = await asyncio.gather(*(calls.begin(CALL) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [journal.JournalError] * 3
        for _ in range(3):
            calls.end(CALL)
        await calls.close()  # nothing was noted, so there is nothing to take back
        with pytest.raises(journal.JournalError):
            await calls.lose("k", CALL, "time-out")
        with pytest.raises(journal.JournalError):
            await calls.begin(CALL)

    asyncio.run(use())


def test_a_call_that_is_lost_is_noted(tmp_path: Path) -> None:
    async def use() -> None:
        writer = journal.Writer(journal.Folder(str(tmp_path)))
        await OpenCalls(writer, BUYER).lose("k", CALL, "time-out")
        writer.close()

    asyncio.run(use())
    [entry] = scan(journal.Folder(str(tmp_path)))
    assert (entry["lost"], entry["why"], entry["run"]) == ([0.5, 100], "time-out", "run")
