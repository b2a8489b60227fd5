"""The batch transport against a loopback server that speaks /files and /batches, over real HTTP; no Ray."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from aiohttp import web
from pydantic import SecretStr
from support.teacher_stage import prompt_table as asks

from raydistill.config import PriceSettings, TeacherSettings
from raydistill.runtime.errors import BudgetReached, TeacherError
from raydistill.runtime.progress import Progress
from raydistill.teacher import batch, journal
from raydistill.teacher.api.request import Request
from raydistill.teacher.batch import collector
from raydistill.teacher.batch.batch_api import BatchApi
from raydistill.teacher.batch.pending_batches import Note, Notes
from raydistill.teacher.calls.purchase import Purchase
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.records import Buyer, kind_of
from raydistill.teacher.journal.scan import scan
from raydistill.teacher.limits.amount import Amount
from raydistill.teacher.limits.messages import Limits
from raydistill.teacher.spending import spending

KEY = "sk-batch-0123456789abcdef"


class BatchServer:
    """OpenAI's files and batches; each batch goes through `stages` statuses, one a look."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.answered: list[str] = []  # custom ids
        self.expire = 0  # so many lines of the next batch expire
        self.fail: dict[str, dict[str, Any]] = {}  # text in the prompt -> error answer, once
        self.lose_answer_of_create = False
        self.refuse: str | None = None
        self.statuses = ["validating", "in_progress"]

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**28)
        app.add_routes(
            [
                web.post("/v1/files", self.upload),
                web.get("/v1/files/{id}/content", self.download),
                web.post("/v1/batches", self.create),
                web.get("/v1/batches/{id}", self.retrieve),
                web.get("/v1/batches", self.list),
            ]
        )
        return app

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read()  # type: ignore[union-attr]
        size = len(self.files[name])
        return web.json_response(
            {
                "id": name,
                "object": "file",
                "bytes": size,
                "created_at": 0,
                "filename": "f",
                "purpose": "batch",
                "status": "processed",
            }
        )

    async def download(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["id"]])

    async def create(self, request: web.Request) -> web.Response:
        fields = await request.json()
        name = f"batch_{len(self.batches)}"
        lines = [json.loads(line) for line in self.files[fields["input_file_id"]].splitlines()]
        self.batches[name] = {
            **{"id": name, "object": "batch", "created_at": 0, "completion_window": "24h", "status": "validating"},
            **{
                "endpoint": fields["endpoint"],
                "input_file_id": fields["input_file_id"],
                "metadata": fields["metadata"],
            },
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "left": list(self.statuses),
        }
        if self.lose_answer_of_create:
            self.lose_answer_of_create = False
            assert request.transport
            request.transport.abort()
        return web.json_response(self.batches[name])

    async def retrieve(self, request: web.Request) -> web.Response:
        batch_ = self.batches[request.match_info["id"]]
        if batch_["left"]:
            batch_["status"] = batch_["left"].pop(0)
        elif batch_["status"] not in ("completed", "expired", "failed"):
            self.work(batch_)
        return web.json_response(batch_)

    async def list(self, request: web.Request) -> web.Response:
        data = [*self.batches.values()]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    def work(self, batch_: dict[str, Any]) -> None:
        if self.refuse:
            batch_["status"] = "failed"
            batch_["errors"] = {"object": "list", "data": [{"code": "x", "message": self.refuse}]}
            return
        good, bad = [], []
        lines = [json.loads(line) for line in self.files[batch_["input_file_id"]].splitlines()]
        for i, line in enumerate(lines):
            assert line["url"] == batch_["endpoint"]
            is_chat = line["url"] == "/v1/chat/completions"
            prompt = line["body"]["messages"][0]["content"] if is_chat else line["body"]["prompt"]
            error = next((self.fail.pop(text) for text in list(self.fail) if text in prompt), None)
            if i < self.expire:
                expired = {"code": "batch_expired", "message": "too late"}
                bad.append({"custom_id": line["custom_id"], "response": None, "error": expired})
            elif error:
                response = {"status_code": error["status"], "body": {"error": error}}
                bad.append({"custom_id": line["custom_id"], "response": response, "error": None})
            else:
                n = line["body"].get("n", 1)
                text = " 5." if prompt.endswith("answer is") else " 3 and 2"
                choices: list[dict[str, Any]] = []
                for j in range(n):
                    content = {"message": {"content": f"{text} ({j})"}} if is_chat else {"text": f"{text} ({j})"}
                    choices.append({"index": j, "finish_reason": "stop", **content})
                usage = {"prompt_tokens": 10, "completion_tokens": 4 * n}
                body = {"choices": choices, "usage": usage}
                response = {"status_code": 200, "body": body}
                good.append({"custom_id": line["custom_id"], "response": response, "error": None})
                self.answered.append(line["custom_id"])
        good.reverse()  # results come in any order
        batch_["status"] = "expired" if self.expire else "completed"
        self.expire = 0
        for field, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                batch_[field] = f"file-{len(self.files)}"
                self.files[batch_[field]] = "\n".join(map(json.dumps, rows)).encode()


@pytest.fixture
def served() -> Iterator[tuple[BatchServer, str]]:
    server, loop, ready = BatchServer(), asyncio.new_event_loop(), threading.Event()
    address: list[str] = []

    async def serve() -> None:
        runner = web.AppRunner(server.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        ready.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.run_forever()), daemon=True)
    thread.start()
    ready.wait(10)
    yield server, address[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


def teacher(**settings: Any) -> TeacherSettings:
    price = PriceSettings(input=1.0, output=2.0)
    fields = {"kind": "api", "transport": "batch", "backoff_s": 0.01, "max_attempts": 3, "price": price, **settings}
    return TeacherSettings(**fields)


def take_in(url: str, folder: Path) -> None:
    """Do what an online stage does first."""
    endpoint = Endpoint(url, "m", "m", url, SecretStr(KEY), 7)
    settings = teacher(transport="online")
    batch.take_in(settings, endpoint, journal.Folder(str(folder)), Buyer("run", "another session", "zero_shot"))


def buy(
    url: str,
    folder: Path,
    table: pa.Table,
    *,
    limits: Limits | None = None,
    dialect: Literal["completions", "chat"] = "completions",
    **options: Any,
) -> list[dict[str, Any]]:
    settings = teacher(dialect=dialect)
    endpoint = Endpoint(url, "m", "m", url, SecretStr(KEY), 7)
    buyer = Buyer("run", "session", "zero_shot")
    with Progress(io.StringIO()).stage("zero_shot") as shown:
        place = journal.Folder(str(folder))
        return batch.run(table, settings, endpoint, place, buyer, limits or Limits(1), shown, **options)


@pytest.mark.parametrize("dialect", ["completions", "chat"])
def test_a_stage_in_batches_split_by_count(
    served: tuple[BatchServer, str], tmp_path: Path, dialect: Literal["completions", "chat"]
) -> None:
    server, url = served
    rows = buy(url, tmp_path, asks(10, degree=2), max_requests=4, dialect=dialect)
    assert len(rows) == 20
    assert {row["answer_text"] for row in rows} == {" 5. (0)"}
    assert [row["rationale"] for row in rows[:2]] == [" 3 and 2 (0)", " 3 and 2 (1)"]
    assert rows[0]["cost_usd"] == pytest.approx((20 * 1 + 12 * 2) / 1e6 / 2)  # half the price
    counts = [b["request_counts"]["total"] for b in server.batches.values()]
    assert counts == [4, 4, 2, 4, 4, 4, 4, 4]  # 10 requests for two samples, then 20 answers
    assert len(server.answered) == len(set(server.answered)) == 30
    assert buy(url, tmp_path, asks(10, degree=2), dialect=dialect) == rows
    assert len(server.batches) == 8  # all from the journal
    assert [path.name for path in tmp_path.glob("batch-*")] == []


def test_files_are_split_by_size() -> None:
    request = Request("u", "completions", "m", "é" * 1000, 8, 0.0)
    purchase = Purchase(request, [0], request.keys([0]), "t", "rationale")
    parts = list(collector.split([purchase] * 10, 100, 3 * len(collector.line(purchase))))
    assert [len(part) for part in parts] == [3, 3, 3, 1]


def test_expired_and_failed_lines_are_sent_again_alone(served: tuple[BatchServer, str], tmp_path: Path) -> None:
    server, url = served
    server.expire = 3
    server.fail = {
        "Ann has 5 ": {"status": 500, "message": "oops"},
        "Ann has 6 ": {"status": 400, "message": "too long", "code": "context_length_exceeded"},
    }
    rows = {row["question_id"]: row for row in buy(url, tmp_path, asks(8))}
    assert [b["request_counts"]["total"] for b in server.batches.values()] == [8, 4 + 3, 4]  # four again, then answers
    assert rows["q00006"]["error_kind"] == "context_length"
    assert all(row["error_kind"] == "" for name, row in rows.items() if name != "q00006")
    assert len(server.answered) == len(set(server.answered)) == 14
    assert rows["q00005"]["attempts"] == 3


def test_a_line_that_always_fails_is_sent_as_often_as_may_be(served: tuple[BatchServer, str], tmp_path: Path) -> None:
    class Always(dict[str, Any]):
        pop = dict.__getitem__  # type: ignore[assignment]

    server, url = served
    server.fail = Always({"Ann has 1 ": {"status": 500, "message": "oops"}})
    rows = {row["question_id"]: row for row in buy(url, tmp_path, asks(2))}
    assert (rows["q00001"]["error_kind"], rows["q00001"]["attempts"]) == ("transient", 3)
    lines = [server.files[made["input_file_id"]] for made in server.batches.values()]
    assert sum(b"Ann has 1 " in line for line in lines) == 3


def test_an_error_in_a_reply_of_success_counts_and_is_sent_again(
    served: tuple[BatchServer, str], tmp_path: Path
) -> None:
    server, url = served
    server.fail = {"Ann has 1 ": {"status": 200, "message": "overloaded", "code": "502"}}
    rows = {row["question_id"]: row for row in buy(url, tmp_path, asks(2))}
    assert [row["error"] for row in rows.values()] == ["", ""]
    assert rows["q00001"]["attempts"] == 3  # two for the rationale, one for the answer
    replies = [entry for entry in scan(journal.Folder(str(tmp_path))) if kind_of(entry) == "reply"]
    assert len(replies) == 5  # what it may have taken is in the journal


def test_a_note_of_a_batch_that_was_never_made_goes(served: tuple[BatchServer, str], tmp_path: Path) -> None:
    _, url = served
    notes = Notes(journal.Folder(str(tmp_path)), Buyer("run", "s", "zero_shot"))
    notes.make({"key": [0]}, Amount(1.0, 10**9))  # killed before the batch was made: it costs nothing
    assert len(buy(url, tmp_path, asks(1), limits=Limits(1, tokens=10_000))) == 1
    assert notes.load() == []


@pytest.mark.parametrize("dialect", ["completions", "chat"])
@pytest.mark.parametrize("moment", ["running", "made but not noted"])
def test_a_process_that_died_finds_its_batches_again(
    served: tuple[BatchServer, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    dialect: Literal["completions", "chat"],
) -> None:
    server, url = served

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "running":
            patch.setattr(BatchApi, "retrieve", die)
        else:
            save = Notes.save
            saved: list[Note] = []

            def save_once(self: Notes, note: Note) -> None:
                if saved:
                    die()
                saved.append(note)
                save(self, note)

            patch.setattr(Notes, "save", save_once)
        with pytest.raises(Killed):
            buy(url, tmp_path, asks(6), dialect=dialect)
    assert len(server.batches) == 1
    rows = buy(url, tmp_path, asks(4, first=2), dialect=dialect)  # and the questions have changed meanwhile
    assert len(rows) == 4
    assert all(row["answer_text"] for row in rows)
    assert len(server.answered) == len(set(server.answered)) == 6 + 4
    assert len(buy(url, tmp_path, asks(6), dialect=dialect)) == 6  # the two that nobody wanted were kept as well
    assert len(server.answered) == len(set(server.answered)) == 6 + 6


def test_a_batch_of_another_dialect_is_taken_in(
    served: tuple[BatchServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`teacher.dialect` was changed while a batch was out: its answers are paid for, and kept under their own keys."""
    server, url = served
    with monkeypatch.context() as patch:
        patch.setattr(BatchApi, "retrieve", lambda *_: 1 / 0)  # killed while its batch runs
        with pytest.raises(ZeroDivisionError):
            buy(url, tmp_path, asks(3), dialect="chat")
    assert all(row["answer_text"] for row in buy(url, tmp_path, asks(3), dialect="completions"))
    assert all(row["answer_text"] for row in buy(url, tmp_path, asks(3), dialect="chat"))
    assert len(server.answered) == 3 * 2 + 3 * 2  # rationales and answers, once for each dialect


def test_a_batch_that_was_sent_under_a_stages_former_name_is_found(tmp_path: Path) -> None:
    folder = journal.Folder(str(tmp_path))
    Notes(folder, Buyer("run", "s", "judge")).save(Note("n", "batch-1", "run", "judge", {"key": [0]}))
    assert [note.batch for note in Notes(folder, Buyer("run", "s", "llm_judge")).load()] == ["batch-1"]
    assert Notes(folder, Buyer("run", "s", "few_shot")).load() == []


def test_lines_under_way_are_reserved_against_the_budget(
    served: tuple[BatchServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = served
    line = max(len(prompt) for prompt in asks(20)["prompt"].to_pylist()) // 2 + 16 + 128  # the most it may take
    with monkeypatch.context() as patch:
        patch.setattr(BatchApi, "retrieve", lambda *_: 1 / 0)  # killed while its batch runs
        with pytest.raises(ZeroDivisionError):
            buy(url, tmp_path, asks(6))
    buy(url, tmp_path, asks(20), limits=Limits(1, tokens=10 * line))
    counts = [b["request_counts"]["total"] for b in server.batches.values()]
    assert counts[:2] == [6, 4]


def test_a_refused_parameter_is_left_out_of_the_next_batch(served: tuple[BatchServer, str], tmp_path: Path) -> None:
    server, url = served
    refused = {"status": 400, "message": "'seed' is not supported.", "code": "unsupported_parameter", "param": "seed"}
    server.fail = {f"Ann has {i} ": refused for i in range(3)}
    assert [row["error"] for row in buy(url, tmp_path, asks(3))] == [""] * 3
    files = [server.files[made["input_file_id"]] for made in server.batches.values()]
    bodies = [[json.loads(line)["body"] for line in file.splitlines()] for file in files]
    assert [body["seed"] for body in bodies[0]] == [7] * 3
    assert not any("seed" in body for file in bodies[1:] for body in file)
    assert len(server.answered) == 6


def test_a_creation_whose_answer_was_lost_is_not_repeated(served: tuple[BatchServer, str], tmp_path: Path) -> None:
    server, url = served
    server.lose_answer_of_create = True
    assert len(buy(url, tmp_path, asks(3))) == 3
    assert len(server.batches) == 2


def test_budget_and_refusal(served: tuple[BatchServer, str], tmp_path: Path) -> None:
    server, url = served
    with pytest.raises(BudgetReached, match="the next call may take"):
        buy(url, tmp_path, asks(20), limits=Limits(1, tokens=400))
    assert 0 < len(server.answered) * 14 <= 400
    kept = len(server.answered)
    assert len(buy(url, tmp_path, asks(20))) == 20
    assert len(server.answered) == len(set(server.answered)) == 40 > kept
    lenient = buy(url, tmp_path, asks(20, first=50), limits=Limits(1, tokens=400, on_budget="fail_rows"))
    assert "budget" in {row["error_kind"] for row in lenient} <= {"", "budget"}
    assert 40 < len(server.answered) <= 40 + 400 // 14
    server.refuse = "no such endpoint in batches"
    with pytest.raises(TeacherError, match="no such endpoint in batches"):
        buy(url, tmp_path, asks(3, first=100))


def test_a_note_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Its batch may have been sent a day ago, by a raydistill that did not reserve money for it."""
    note = {"nonce": "0" * 32, "batch": "batch_9", "run": "run", "stage": "zero_shot", "custom_ids": {"ab": [0, 1]}}
    folder = journal.Folder(str(tmp_path))
    (tmp_path / f"batch-{note['nonce']}.json").write_text(json.dumps(note))
    mine, other = (Notes(folder, Buyer("run", "session", stage)) for stage in ("zero_shot", "few_shot"))
    assert mine.load() == [Note("0" * 32, "batch_9", "run", "zero_shot", {"ab": [0, 1]}, (0.0, 0))]
    assert other.load() == []


def test_an_online_stage_takes_in_what_its_batch_has_answered(
    served: tuple[BatchServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = served
    take_in(url, tmp_path)  # there is none
    with monkeypatch.context() as patch:
        patch.setattr(BatchApi, "retrieve", lambda *_: 1 / 0)  # killed while its batch runs
        with pytest.raises(ZeroDivisionError):
            buy(url, tmp_path, asks(6))
    for _ in server.statuses:
        with pytest.raises(TeacherError, match=r"batch_0 of stage zero_shot is still out .* answers twice"):
            take_in(url, tmp_path)
    assert len(journal.Reader(journal.Folder(str(tmp_path)))) == 0
    take_in(url, tmp_path)
    assert len(journal.Reader(journal.Folder(str(tmp_path)))) == len(server.answered) == 6
    spent = spending(journal.Folder(str(tmp_path)), ["run"]).total
    assert spent.usd == pytest.approx(6 * (10 * 1.0 + 4 * 2.0) / 1e6 / 2)  # at the price of a batch
    buy(url, tmp_path, asks(6))
    assert len(server.answered) == len(set(server.answered)) == 12  # just the answer calls
    take_in(url, tmp_path)  # nothing is out any more


def test_a_file_of_results_that_is_cut_is_said_and_fetched_again(
    served: tuple[BatchServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = served
    content = BatchApi.content

    async def cut(self: BatchApi, file_id: str) -> bytes:
        return (await content(self, file_id))[:-40]

    with monkeypatch.context() as patch:
        patch.setattr(BatchApi, "content", cut)
        with pytest.raises(TeacherError, match=r"Line 3 of file-1, a file of batch results, is no result"):
            buy(url, tmp_path, asks(3))
    assert len(journal.Reader(journal.Folder(str(tmp_path)))) == 2
    assert all(row["answer_text"] for row in buy(url, tmp_path, asks(3)))
    assert len(server.answered) == len(set(server.answered)) == 6


def test_what_a_batch_endpoint_repeats_of_the_key_is_not_shown(served: tuple[BatchServer, str], tmp_path: Path) -> None:
    server, url = served
    server.refuse = f"invalid key {KEY[:-3]}"
    with pytest.raises(TeacherError, match="rejects the batch batch_0: invalid key") as caught:
        buy(url, tmp_path, asks(3))
    assert KEY[:12] not in str(caught.value)
    server.refuse = None
    server.fail = {"Ann has 1 ": {"status": 422, "message": f"bad {KEY}"}}
    rows = buy(url, tmp_path, asks(3))
    assert [row["error_kind"] for row in rows] == ["", "fatal", ""]
    assert KEY[:12] not in json.dumps(rows)
