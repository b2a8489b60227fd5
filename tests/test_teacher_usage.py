"""Tokens of a response: under whatever names its server states them, and never counted too low."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydistill.teacher.api import usage
from raydistill.teacher.api.dialect import load
from raydistill.teacher.api.usage import MOST_TOKENS, StatedUsage, Usage, counted, is_possible

RESERVED = Usage(100, 0, 400)


def stated(fields: object, *texts: str) -> StatedUsage:
    """Read `fields` as the usage of a whole reply."""
    choices = [{"text": text} for text in texts or ["a"]]
    body = json.dumps({"choices": choices, "usage": fields}).encode()
    return load("completions").read_reply(body).usage


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}, (9, None, 4, 13)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}, (9, 5, 4, None)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None}, (9, None, 4, None)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 8}, (9, 8, 4, None)),
        ({"input_tokens": 9, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 5}}, (9, 5, 4, None)),
        ({"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 20}, (9, None, 4, 20)),
        ({"inputTokens": 9, "outputTokens": 4, "totalTokens": 13}, (9, None, 4, 13)),
        ({"total_tokens": 13}, (None, None, None, 13)),
        ({"prompt_tokens": "9", "completion_tokens": " 4 ", "total_tokens": "13.0"}, (9, None, 4, 13)),
        ({"prompt_tokens": 9.0, "completion_tokens": 4.2}, (9, None, 5, None)),
        ({"prompt_tokens": "many", "completion_tokens": None}, (None, None, None, None)),
        ({"prompt_tokens": True, "completion_tokens": [4]}, (None, None, None, None)),
        ({"prompt_tokens": -9, "completion_tokens": -1.5, "total_tokens": "-3"}, (None, None, None, None)),
        ({"prompt_tokens": 2**64 - 1, "completion_tokens": 2**63, "total_tokens": 1e300}, (None, None, None, None)),
        ({"prompt_tokens": float("inf"), "completion_tokens": float("nan")}, (None, None, None, None)),
        ({"prompt_tokens": "inf", "completion_tokens": "nan", "total_tokens": "9" * 5000}, (None, None, None, None)),
        ({"prompt_tokens": None, "input_tokens": 9, "output_tokens": 4}, (9, None, 4, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (None, None, None, None)),
        ({}, (None, None, None, None)),
        (None, (None, None, None, None)),
        ([1], (None, None, None, None)),
        ("12", (None, None, None, None)),
    ],
)
def test_counts_are_read_under_any_name(fields: object, expected: tuple[int | None, ...]) -> None:
    assert stated(fields) == expected


@pytest.mark.parametrize("prompt", ["input_tokens", "promptTokenCount", "prompt_token_count", "inputTokens"])
@pytest.mark.parametrize(
    "completion", ["output_tokens", "candidatesTokenCount", "candidates_token_count", "outputTokens"]
)
@pytest.mark.parametrize("total", ["total_tokens", "totalTokenCount", "total_token_count", "totalTokens"])
@pytest.mark.parametrize("cached", ["cached_tokens", "cachedContentTokenCount", "cached_content_token_count"])
def test_every_name_is_known(prompt: str, completion: str, total: str, cached: str) -> None:
    assert stated({prompt: 9, completion: 4, total: 13, cached: 5}) == (9, 5, 4, 13)


def test_cached_tokens_that_a_server_leaves_out_of_its_input_tokens_are_part_of_the_prompt() -> None:
    fields = {
        "input_tokens": 9,
        "cache_read_input_tokens": 50,
        "cache_creation_input_tokens": 30,
        "output_tokens": 4,
    }
    assert stated(fields) == StatedUsage(89, 50, 4, None)
    both = {"prompt_tokens": 89, "cache_read_input_tokens": 50, "completion_tokens": 4}
    assert stated(both) == StatedUsage(89, 50, 4, None)
    assert stated({"prompt_tokens": 9, "cached_tokens": 5, "prompt_tokens_details": {"cached_tokens": 7}}).cached == 5


def test_no_tokens_are_believed_of_no_text_alone() -> None:
    fields = {"prompt_tokens": 9, "completion_tokens": 0}
    assert stated(fields, "", "").completion == 0
    assert stated(fields, "", "a").completion is None


def test_a_number_of_thousands_of_digits_costs_no_answer() -> None:
    body = b'{"choices": [{"text": "a"}], "usage": {"prompt_tokens": 9, "completion_tokens": %s}}' % (b"9" * 5000)
    reply = load("completions").read_reply(body)
    assert (reply.texts, reply.usage) == (["a"], StatedUsage(prompt=9))


def test_a_usage_is_complete_with_prompt_and_completions() -> None:
    assert StatedUsage(9, None, 4).is_complete
    assert not StatedUsage(None, None, 4, 13).is_complete
    assert not StatedUsage(9, None, None, 13).is_complete


def test_which_usage_is_possible() -> None:
    assert is_possible(Usage(0, 0, 10_000_000), 1)
    assert is_possible(Usage(20_000_000, 0, 0), 2)
    assert is_possible(Usage(9, 0, 4), 0)
    assert not is_possible(Usage(0, 0, 10_000_001), 1)
    assert not is_possible(Usage(10_000_001, 0, 0), 0)
    assert not is_possible(Usage(9, -1, 4), 1)


def test_the_limit_of_a_count_is_for_each_sample() -> None:
    assert MOST_TOKENS == 10_000_000
    assert stated({"completion_tokens": MOST_TOKENS}).completion == MOST_TOKENS
    assert stated({"completion_tokens": MOST_TOKENS + 1}).completion is None
    assert stated({"completion_tokens": MOST_TOKENS + 1}, "a", "").completion == MOST_TOKENS + 1


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (StatedUsage(9, 5, 4, 13), (9, 5, 4)),
        (StatedUsage(9, None, 4, None), (9, 0, 4)),
        (StatedUsage(9, 50, 4, 13), (9, 9, 4)),  # more cached than the prompt has
        (StatedUsage(9, None, None, 13), (9, 0, 4)),
        (StatedUsage(9, None, None, None), (9, 0, 400)),
        (StatedUsage(9, None, None, 5), (9, 0, 400)),  # a total that leaves nothing for the other part says nothing
        (StatedUsage(9, None, None, 9), (9, 0, 400)),
        (StatedUsage(9, None, None, 10), (9, 0, 1)),
        (StatedUsage(9, None, 0, 9), (9, 0, 0)),
        (StatedUsage(None, None, 4, 4), (100, 0, 4)),
        (StatedUsage(None, None, 4, 5), (1, 0, 4)),
        (StatedUsage(None, None, 4, 13), (9, 0, 4)),
        (StatedUsage(None, None, 4, None), (100, 0, 4)),
        (StatedUsage(None, None, 4, 3), (100, 0, 4)),
        (StatedUsage(None, None, None, 150), (0, 0, 150)),  # all of it may be the dearer part
        (StatedUsage(None, None, None, 450), (50, 0, 400)),
        (StatedUsage(None, None, None, 900), (100, 0, 800)),  # a server that ignores the limit
        (StatedUsage(), (100, 0, 400)),
        (StatedUsage(None, 7, None, None), (100, 7, 400)),
        (StatedUsage(9, None, 4, 60), (9, 0, 51)),  # hidden thinking in the total alone
        (StatedUsage(9, None, 4, 10), (9, 0, 4)),
        (StatedUsage(0, 0, 0, 0), (0, 0, 0)),
        (StatedUsage(900, None, 4000, None), (900, 0, 4000)),  # more than was reserved is believed
    ],
)
def test_what_is_not_stated_counts_as_reserved(stated: StatedUsage, expected: tuple[int, int, int]) -> None:
    assert counted(stated, RESERVED) == expected


counts = st.one_of(st.none(), st.integers(0, MOST_TOKENS))


@given(counts, counts, counts, counts)
def test_no_count_is_below_what_is_stated(
    prompt: int | None, cached: int | None, completion: int | None, total: int | None
) -> None:
    usage = counted(StatedUsage(prompt, cached, completion, total), RESERVED)
    assert 0 <= usage.cached_tokens <= usage.prompt_tokens
    assert usage.prompt_tokens >= (prompt or 0)
    assert usage.completion_tokens >= (completion or 0)
    assert usage.total >= (total or 0)
    if total is None:
        assert usage.prompt_tokens == (RESERVED.prompt_tokens if prompt is None else prompt)
        assert usage.completion_tokens == (RESERVED.completion_tokens if completion is None else completion)


numbers = st.one_of(st.integers(), st.floats(), st.text(max_size=8), st.booleans(), st.none())


@given(st.dictionaries(st.sampled_from(["prompt_tokens", "output_tokens", "total_tokens", "cached_tokens"]), numbers))
def test_whatever_is_stated_fits_the_journal(fields: dict[str, Any]) -> None:
    counts = counted(usage.read(fields, ["a"]), RESERVED)
    for count in counts:
        assert isinstance(count, int)
        assert 0 <= count <= 2 * MOST_TOKENS
