"""One cell of the table of `engine_faults`: a misbehaviour, met by a run and its resumptions."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fault_asking import MAX_TOKENS, Asking, Outcome, ask, make_prompts
from fault_call import Spec, Stats, count_tokens, digest
from fault_kind import Kind
from fault_server import FaultServer

from raydistill.teacher import journal
from raydistill.teacher.api.request import Request

INPUT_PRICE = 1.0
OUTPUT_PRICE = 4.0
"""USD per million tokens."""
TIMEOUT_S = 1.5
KEY_RUN = 12
"""So many characters of the key in a row are a leak."""
RUN = "run"


class Cell(NamedTuple):
    """What is tried."""

    kind: Kind
    share: float
    n: int
    is_patient: bool = False
    """Whether it is about the time that a hopeless run takes: many prompts, retries as by default."""

    @property
    def spec(self) -> Spec:
        """Return how the server behaves."""
        share = self.share if self.kind.prompts == "plain" else 1.0
        return Spec(self.kind.name, share, self.kind.latency_s, TIMEOUT_S, samples=self.n)

    @property
    def rows(self) -> int:
        """Return how many prompts are asked."""
        if self.is_patient:
            return 2000
        if self.share < 0.5:
            return 240
        return self.kind.rows or 100

    @property
    def covered_calls(self) -> int:
        """Return how many honest calls the cap covers: few, if each is misbehaved."""
        return 10 if self.share >= 0.5 else 180

    @property
    def longest_s(self) -> float:
        """Return when a run is cut off."""
        return 75.0 if self.is_patient else 30.0

    @property
    def caps(self) -> list[float]:
        """Return the caps of the run and its resumptions, in multiples of the first: one as it was, one with more."""
        return [1.0] if self.is_patient else [1.0, 1.0, 2.0]


class Result(NamedTuple):
    """What came of a cell."""

    cell: Cell
    bill_over_cap: float
    bought_twice: int
    lost: int
    mixed_up: int
    """Answers in the journal that were generated for another prompt."""
    answered: int
    """Samples, in all."""
    seconds: float
    """Of the longest run."""
    is_cut_off: bool
    says: str
    is_key_shown: bool


async def run_cell(cell: Cell, server: FaultServer, key: str) -> Result:
    """Let the server misbehave, ask, and ask again on the same journal."""
    server.play(cell.spec)
    prompts = make_prompts(cell.rows, cell.kind.prompts, cell.share)
    prompt_tokens = sum(map(count_tokens, prompts)) / len(prompts)
    call_usd = (prompt_tokens * INPUT_PRICE + cell.n * MAX_TOKENS * OUTPUT_PRICE) / 1e6
    first_cap = cell.covered_calls * call_usd
    outcomes: list[Outcome] = []
    requests: set[Request] = set()
    bill_over_cap = 0.0
    is_key_shown = False
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        place = f"{folder}/journal"
        for multiple in cell.caps:
            cap = first_cap * multiple
            asking = Asking(
                server.base_url, key, place, RUN, prompts, cell.n, teacher(cell, cap), longest_s=cell.longest_s
            )
            outcome = await ask(asking)
            outcomes.append(outcome)
            requests.update(outcome.requests)
            bill = server.stats().usd(INPUT_PRICE, OUTPUT_PRICE)
            bill_over_cap = max(bill_over_cap, bill / cap)
            is_key_shown = is_key_shown or shows_key(key, outcome.messages, Path(folder))
            if outcome.is_cut_off:
                break
        stats = server.stats()
        kept = kept_texts(place, requests, cell.n)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    return Result(
        cell=cell,
        bill_over_cap=bill_over_cap,
        bought_twice=bought_twice(stats, prompts),
        lost=count_lost(stats, prompts, kept, cell.n),
        mixed_up=count_mixed_up(kept),
        answered=max(outcome.answered for outcome in outcomes),
        seconds=slowest.seconds,
        is_cut_off=slowest.is_cut_off,
        says=outcomes[0].says,
        is_key_shown=is_key_shown,
    )


def teacher(cell: Cell, cap: float) -> dict[str, Any]:
    """Return the teacher's settings of a cell."""
    is_chat = cell.kind.is_chat_only or cell.n > 1
    settings: dict[str, Any] = {
        "dialect": "chat" if is_chat else "completions",
        "price": {"input": INPUT_PRICE, "output": OUTPUT_PRICE},
        "budget_usd": cap,
        "timeout": TIMEOUT_S,
        "max_attempts": 8,
        "max_concurrency": 64,
    }
    if not cell.is_patient:
        settings["backoff_s"] = 0.02
    return settings


def bought_twice(stats: Stats, prompts: Iterable[str]) -> int:
    """Count the samples that were billed though as many as were needed had arrived."""
    return sum(stats.prompts[digest(prompt)].bought_twice for prompt in prompts if digest(prompt) in stats.prompts)


def kept_texts(place: str, requests: Iterable[Request], n: int) -> dict[str, list[str]]:
    """Return the texts of all samples in a journal, readable or not, by prompt.

    A run that left a parameter out has bought under other keys, so `requests` holds a prompt in every form it was sent.
    """
    texts: dict[str, list[str]] = {}
    try:
        reader = journal.Reader(journal.Folder(place, read_only=True))
        for request in requests:
            for key in request.keys(range(n)):
                answer = reader.get(key)
                if answer is not None:
                    texts.setdefault(request.prompt, []).append(answer.text)
    except Exception as error:  # a journal that cannot be read holds nothing
        print(f"The journal cannot be read: {type(error).__name__}: {error}")
        return {}
    return texts


def count_lost(stats: Stats, prompts: Iterable[str], kept: dict[str, list[str]], n: int) -> int:
    """Count the samples that arrived whole and readable, and are in no journal."""
    lost = 0
    for prompt in prompts:
        if digest(prompt) in stats.prompts:
            arrived = min(n, stats.prompts[digest(prompt)].readable)
            lost += max(0, arrived - len(kept.get(prompt, [])))
    return lost


def count_mixed_up(kept: dict[str, list[str]]) -> int:
    """Count the texts that were generated for another prompt than they are kept for."""
    mixed_up = 0
    for prompt, texts in kept.items():
        mixed_up += sum(bool(text) and digest(prompt)[:8] not in text for text in texts)
    return mixed_up


def shows_key(key: str, messages: Iterable[str], folder: Path) -> bool:
    """Whether a dozen characters of the key in a row stand in a message, or in a file (base64 within it, too)."""
    contents = [message.encode() for message in messages]
    for path in folder.rglob("*"):
        if path.is_file():
            contents.append(path.read_bytes())
    for content in list(contents):
        for encoded in re.findall(rb'"body64": ?"([A-Za-z0-9+/=]+)"', content):
            contents.append(base64.b64decode(encoded))
    runs = [key[start : start + KEY_RUN].encode() for start in range(len(key) - KEY_RUN + 1)]
    return any(run in content for content in contents for run in runs)
