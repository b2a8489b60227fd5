"""The keys of samples: they name all that an answer depends on, and stay for ever."""

from __future__ import annotations

import json
from typing import Any

from raydistill.teacher.api.request import Request

ASKED = Request("https://api.example/v1", "completions", "m", "Q: ?", 8, 0.7, ("\nQ:",), 1)


def test_keys_name_all_that_an_answer_depends_on_and_never_the_key() -> None:
    base = ASKED.keys([0, 1])
    assert len(set(base)) == 2
    changes: dict[str, Any] = {
        **{"identity": "other", "dialect": "chat", "model": "n", "prompt": "Q: ??", "max_tokens": 9},
        **{"temperature": 0.8, "stop": (), "seed": 2, "limit_name": "max_completion_tokens"},
    }
    assert set(changes) == set(Request.__dataclass_fields__)
    others = [Request(**{**ASKED.__dict__, name: value}).keys([0])[0] for name, value in changes.items()]
    assert len({*others, *base}) == len(others) + 2
    assert json.dumps(ASKED.canonical()).count("sk-") == 0
    assert ASKED.keys(range(8)) == [*ASKED.keys(range(3)), *ASKED.keys(range(3, 8))]


def test_keys_are_those_that_answers_were_bought_under() -> None:
    """Answers of version 1 lie under these; whoever changes a key buys them again."""
    assert ASKED.keys([0, 7]) == [
        "270eaabc60481ad39ff95f3ce607735c350ce4e47296bd30595426bf3445ca13",
        "c0bf7751cb20e27eb8604056125e154478a58626264edc8342005164765b8c01",
    ]
