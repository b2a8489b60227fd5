"""What calls cost: each with its own counts, at its own time; reserved at the dearest that may apply."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers

from raydistill.config import PriceSettings, Settings, TeacherSettings
from raydistill.runtime.errors import TeacherError
from raydistill.tables import QUESTIONS
from raydistill.teacher import estimate
from raydistill.teacher.limits import price_list, pricing
from raydistill.teacher.limits.pricing import Price, Prices

CLAUDE = {"model": "claude-sonnet-4-5", "base_url": "https://api.anthropic.com/v1"}
GEMINI = {"model": "gemini-2.5-pro", "base_url": "https://generativelanguage.googleapis.com/v1beta/openai"}
DEEPSEEK = {"model": "deepseek-reasoner", "base_url": "https://api.deepseek.com/v1"}
NIGHT = datetime(2026, 11, 24, 3, 40, tzinfo=UTC)  # in DeepSeek's dear hours
EVENING = datetime(2026, 11, 24, 18, 40, tzinfo=UTC)


def prices_of(model: dict[str, str], **settings: Any) -> Prices:
    prices = pricing.find(TeacherSettings(kind="api", **model, **settings))
    assert prices is not None
    return prices


def listed_usd(
    model: dict[str, str], time: datetime, prompt: int, cached: int, completion: int, **context: str
) -> float:
    calculation = calc_price(
        Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=completion),
        model_ref=model["model"],
        provider_api_url=model["base_url"],
        genai_request_timestamp=time,
        price_context=context or None,
    )
    return float(calculation.total_price)


@pytest.mark.parametrize("model", [CLAUDE, GEMINI], ids=lambda model: model["model"])
@pytest.mark.parametrize("prompt", [0, 1, 900, 200_000, 200_001, 900_000])
def test_a_long_context_tier_is_for_long_prompts_alone(model: dict[str, str], prompt: int) -> None:
    price = prices_of(model).at(EVENING.timestamp())
    assert len(price.tiers) == 2
    for cached, completion in ((0, 0), (0, 300), (prompt // 3, 4000)):
        listed = listed_usd(model, EVENING, prompt, cached, completion)
        assert price.of(prompt, cached, completion) == pytest.approx(listed, rel=1e-9)
    dear = listed_usd(model, EVENING, 250_000, 0, 0) / 250_000
    assert dear == pytest.approx(2 * price.of(1000, 0, 0) / 1000)  # the prices that were taken for every call


def test_a_call_is_valued_at_its_own_hour_and_reserved_at_the_dearest() -> None:
    prices = prices_of(DEEPSEEK)
    usd = {}
    for time in (NIGHT, EVENING):
        usd[time] = prices.at(time.timestamp()).of(3000, 1000, 500)
        assert usd[time] == pytest.approx(listed_usd(DEEPSEEK, time, 3000, 1000, 500), rel=1e-9)
    assert usd[NIGHT] > 2 * usd[EVENING]
    for minute in (datetime(2026, 11, 24, 16, 29, tzinfo=UTC), datetime(2026, 11, 24, 16, 30, tzinfo=UTC)):
        listed = listed_usd(DEEPSEEK, minute, 3000, 0, 0)
        assert prices.at(minute.timestamp()).of(3000, 0, 0) == pytest.approx(listed, rel=1e-9)
    model = price_list.find(DEEPSEEK["model"], DEEPSEEK["base_url"], is_batch=False)
    assert model is not None
    for now in (NIGHT, EVENING):  # a call may be answered, or a batch done, when prices have changed
        ahead = Prices(model.price_at, clock=now.timestamp)
        assert ahead.most(3000, 500) == pytest.approx(listed_usd(DEEPSEEK, NIGHT, 3000, 0, 500), rel=1e-9)


def test_the_most_is_of_the_dearest_tier_and_time_that_a_call_may_meet() -> None:
    claude = prices_of(CLAUDE)
    for prompt in (200_000, 200_001):
        listed = listed_usd(CLAUDE, datetime.now(UTC), prompt, 0, 1000)
        assert claude.most(prompt, 1000) == pytest.approx(listed, rel=1e-9)
    odd = Price.from_json([[0, 3.0, 4.0, 1.0], [100, 2.0, 1.0, 1.0]])  # longer prompts are cheaper, cached ones dearer
    assert odd.of(101, 0, 0) == 202
    assert odd.most(101, 10) == 101 * 4.0 + 10
    clock = [0.0]
    hours = Prices(lambda time: Price.flat(time // 3600, 0, 0), clock=lambda: clock[0])
    assert hours.most(1, 0) == 24
    clock[0] = 3601
    assert hours.most(1, 0) == 25


def test_prices_of_listed_models_are_those_of_the_list() -> None:
    names = [model.id for provider in providers for model in provider.models]
    count = 0
    for name in names[::7]:
        model = price_list.find(name, "https://gateway.example.com/v1", is_batch=False)
        if model is None:
            continue  # known only together with its provider
        price = model.price_at(EVENING.timestamp())
        for prompt, cached, completion in ((1200, 200, 300), (300_000, 0, 700)):
            usage = Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=completion)
            listed = calc_price(usage, name, genai_request_timestamp=EVENING)
            expected = pytest.approx(float(listed.total_price), rel=1e-9, abs=1e-15)
            assert price.of(prompt, cached, completion) == expected, name
        count += 1
    assert count > 50


def test_a_charge_for_each_call_counts() -> None:
    sonar = {"model": "sonar", "base_url": "https://api.perplexity.ai"}
    price = prices_of(sonar).at(EVENING.timestamp())
    listed = listed_usd(sonar, EVENING, 400, 0, 100)
    assert price.of(400, 0, 100) == pytest.approx(listed, rel=1e-9)
    assert price.of(400, 300, 100) == pytest.approx(listed_usd(sonar, EVENING, 400, 300, 100), rel=1e-9)
    assert listed > 10 * 500 * 1e-6  # much more than its tokens
    assert Price.from_json(price.to_json()) == price


def test_batches_cost_what_the_list_says_and_else_half() -> None:
    legacy = {"model": "gpt-3.5-turbo-instruct", "base_url": "https://api.openai.com/v1"}
    half = prices_of(legacy, transport="batch").at(EVENING.timestamp())
    assert half.of(900, 0, 300) == pytest.approx(listed_usd(legacy, EVENING, 900, 0, 300) / 2)
    grok = {"model": "grok-4.3", "base_url": "https://api.x.ai/v1"}  # a fifth off, not half
    listed = listed_usd(grok, EVENING, 900, 0, 300, processing="batch")
    assert prices_of(grok, transport="batch").at(EVENING.timestamp()).of(900, 0, 300) == pytest.approx(listed)
    assert listed > 0.7 * listed_usd(grok, EVENING, 900, 0, 300)


def test_own_prices_free_teachers_and_unknown_models() -> None:
    own = PriceSettings(input=2.0, cached_input=0.5, output=8.0)
    mine = prices_of({"model": "mine"}, price=own)
    assert mine.at(0).of(1_000_000, 400_000, 0) == pytest.approx(0.6 * 2.0 + 0.4 * 0.5)
    assert mine.most(1_000_000, 1_000_000) == pytest.approx(10.0)
    half = prices_of({"model": "mine"}, price=own, transport="batch")
    assert half.at(0).of(1_000_000, 0, 0) == pytest.approx(1.0)
    uncached = prices_of({"model": "mine"}, price=PriceSettings(input=2.0, output=8.0))
    assert uncached.at(0).to_json() == [[0, 2e-6, 2e-6, 8e-6]]
    by_name = prices_of({"model": "gpt-3.5-turbo-instruct", "base_url": "https://gateway.example.com/v1"})
    assert by_name.at(0).of(1_000_000, 0, 1_000_000) == pytest.approx(3.5)
    unknown = TeacherSettings(kind="api", model="nobody-knows-it")
    assert pricing.find(unknown) is None
    with pytest.raises(TeacherError, match=r"for the model 'nobody-knows-it', so --teacher.budget_usd cannot"):
        pricing.find(unknown.model_copy(update={"budget_usd": 1.0}))
    with pytest.raises(TeacherError, match=r"--curation.llm_judge_budget_usd cannot be kept"):
        pricing.find(unknown, "--curation.llm_judge_budget_usd")
    for kind in ("simulated", "local"):
        assert pricing.find(TeacherSettings.model_validate({"kind": kind, "budget_usd": 1.0})) is pricing.FREE
    assert pricing.FREE.most(1000, 1000) == pricing.FREE.at(0).of(1000, 500, 1000) == 0


def test_an_estimate_takes_each_call_at_its_own_length() -> None:
    """The sum of all prompts is far into the long-context tier; no prompt is."""
    question = {"task": "custom", "split": "train", "question": "How many? " * 500, "answer": "5", "choices": []}
    rows = []
    for i in range(400):
        rows.append({**question, "question_id": f"q{i}", "answer_type": "number", "source_row": i})
    teacher = {"kind": "api", **CLAUDE}
    settings = Settings.model_validate({"teacher": teacher, "students": {"methods": ["fine_tune_cot"]}})
    [cost], _ = estimate.estimate(pa.Table.from_pylist(rows, schema=QUESTIONS), settings)
    assert cost.prompt_tokens > 200_000
    assert cost.usd is not None
    assert cost.usd == pytest.approx((3.0 * cost.prompt_tokens + 15.0 * cost.completion_tokens) / 1e6)
    assert cost.usd_at_most is not None
    assert cost.usd_at_most > cost.usd
