"""What the teacher's stages will take, before a call is made: calls, tokens, dollars, minutes (method.md section 8).

Prompts are counted as they will be sent, at four characters a token (within 15 % for English prose); what the teacher
will write is not known, so there is an expected figure (EXPECTED_*) and a highest one (every completion at its limit,
every sample with a second call).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Settings
from raydistill.method import prompts
from raydistill.method.benchmarks import exemplar_limits
from raydistill.teacher import plan
from raydistill.teacher.limits import pricing

CHARS_PER_TOKEN = 4
EXPECTED_RATIONALE = 80  # tokens; text-davinci-002's zero-shot rationales: 50 (MultiArith) to 95 (last letters)
EXPECTED_ANSWER = 8
EXPECTED_SECOND = 0.1  # share of few-shot samples that leave the answer out
EXPECTED_RIGHT = 0.8  # share of train rationales with a right answer, which are judged (curation.llm_judge)
TOKENS_PER_S = 50.0  # of one call, with FIRST_S before its first token
FIRST_S = 0.4


class Cost(NamedTuple):
    """One stage and method; USD are None where the model has no known price."""

    stage: str
    method: str
    degree: int
    questions: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    usd_at_most: float | None
    tokens_at_most: int
    minutes: float


def estimate(questions: pa.Table, settings: Settings) -> tuple[list[Cost], str]:
    """The cost of each stage and method of a run over `questions` (tables.QUESTIONS), and a text that shows it.

    Raises:
        TeacherError: a dollar cap without a known price.
    """
    price = pricing.find(settings.teacher)
    costs, asked = [], []
    if plan.needs_teacher(settings):
        asked.append(plan.zero_shot(questions, settings))
        costs += _costs("zero_shot", asked[0], settings, price)
    if plan.few_shot_methods(settings):
        asked.append(_few_shot(questions, settings))
        costs += _costs("few_shot", asked[1], settings, price)
    if settings.curation.llm_judge and asked:
        costs += _costs("llm_judge", _to_judge(pa.concat_tables(asked), settings), settings, price)
    return costs, _text(costs, settings, price)


def show(questions: pa.Table, settings: Settings) -> None:
    """Print the estimate."""
    print(estimate(questions, settings)[1])


def _few_shot(questions: pa.Table, settings: Settings) -> pa.Table:
    """The few-shot rows with stand-ins for exemplars that only the zero-shot stage can choose: each task's
    typical questions with a rationale of the expected length.
    """
    by_task: dict[str, list[dict[str, Any]]] = {}
    for row in questions.to_pylist():
        by_task.setdefault(row["task"], []).append(row)
    stand_ins = [
        {"task": task, "method": method, "question_id": "", "question": row["question"], "answer": row["answer"]}
        | {"rationale": "x" * (EXPECTED_RATIONALE * CHARS_PER_TOKEN)}
        for method in plan.few_shot_methods(settings)
        for task, rows in by_task.items()
        for row in _typical_first(rows)[: _k(task, settings)]
    ]
    return plan.few_shot(questions, pa.Table.from_pylist(stand_ins), settings)


def _to_judge(asked: pa.Table, settings: Settings) -> pa.Table:
    """Of the rows asked, those whose samples would be judged: train questions, methods and degrees that students learn
    from.
    """
    learnt = pc.field("method").isin(settings.students.methods) & pc.field("degree").isin(settings.students.degrees)
    return asked.filter((pc.field("split") == "train") & learnt)


def _typical_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: abs(len(row["question"]) - sum(len(r["question"]) for r in rows) / len(rows)))


def _k(task: str, settings: Settings) -> int:
    k = settings.exemplars.n_clusters or exemplar_limits(task).clusters
    return k * settings.exemplars.per_cluster


def _costs(stage: str, rows: pa.Table, settings: Settings, price: pricing.Price | None) -> list[Cost]:
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        groups.setdefault((row["method"], row["degree"]), []).append(row)
    return [_cost(stage, *group, found, settings, price) for group, found in groups.items()]


def _cost(
    stage: str, method: str, degree: int, rows: list[dict[str, Any]], settings: Settings, price: pricing.Price | None
) -> Cost:
    teacher = settings.teacher
    requests = math.ceil(degree / (teacher.samples_per_request or degree))
    calls, prompt, completion, most_prompt, most_completion, seconds = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for row in rows:
        if stage == "llm_judge":
            judged, asked = degree * EXPECTED_RIGHT, _tokens(prompts.llm_judge(row["question"], "", row["answer"]))
            calls += judged
            prompt += judged * (asked + EXPECTED_RATIONALE)
            completion += judged * EXPECTED_ANSWER
            most_prompt += degree * (asked + row["max_tokens"])
            most_completion += degree * teacher.answer_max_tokens
            seconds += judged * (FIRST_S + EXPECTED_ANSWER / TOKENS_PER_S)
            continue
        expected = min(EXPECTED_RATIONALE, row["max_tokens"])
        second = degree * (EXPECTED_SECOND if row["adaptive"] else 1.0)
        again = _tokens(prompts.answer_call(row["question"], "", task=row["task"], trigger=teacher.answer_trigger))
        calls += requests + second
        prompt += requests * _tokens(row["prompt"]) + second * (again + expected)
        completion += degree * expected + second * EXPECTED_ANSWER
        most_prompt += degree * (_tokens(row["prompt"]) + again + row["max_tokens"])
        most_completion += degree * (row["max_tokens"] + teacher.answer_max_tokens)
        seconds += requests * (FIRST_S + expected / TOKENS_PER_S)
        seconds += second * (FIRST_S + EXPECTED_ANSWER / TOKENS_PER_S)
    minutes = max(
        seconds / teacher.max_concurrency / 60,
        calls / teacher.requests_per_minute if teacher.requests_per_minute else 0.0,
        (prompt + completion) / teacher.tokens_per_minute if teacher.tokens_per_minute else 0.0,
    )
    usd = price.of(round(prompt), 0, round(completion)) if price else None
    most = price.of(round(most_prompt), 0, round(most_completion)) if price else None
    most_tokens = round(most_prompt + most_completion)
    if stage == "llm_judge":  # its own budget ends it early; the other stages' would end the run
        caps = settings.curation
        usd, most = (u if u is None else min(u, caps.llm_judge_budget_usd or u) for u in (usd, most))
        most_tokens = min(most_tokens, caps.llm_judge_budget_tokens or most_tokens)
    return Cost(
        stage,
        method,
        degree,
        len(rows),
        round(calls),
        round(prompt),
        round(completion),
        usd,
        most,
        most_tokens,
        minutes,
    )


def _tokens(text: str) -> int:
    return len(text) // CHARS_PER_TOKEN + 1


def _text(costs: list[Cost], settings: Settings, price: pricing.Price | None) -> str:
    teacher = settings.teacher
    head = f"{'stage':10} {'method':17} {'D':>3} {'questions':>9} {'calls':>9} {'tokens':>12} {'USD':>9} {'minutes':>8}"
    lines = [head]
    for cost in costs:
        tokens = cost.prompt_tokens + cost.completion_tokens
        lines.append(
            f"{cost.stage:10} {cost.method:17} {cost.degree:3} {cost.questions:9,} {cost.calls:9,} {tokens:12,} "
            f"{_usd(cost.usd):>9} {cost.minutes:8.1f}"
        )
    calls = sum(cost.calls for cost in costs)
    tokens = sum(cost.prompt_tokens + cost.completion_tokens for cost in costs)
    usd, most = (sum(getattr(c, n) or 0.0 for c in costs) if price else None for n in ("usd", "usd_at_most"))
    minutes = sum(cost.minutes for cost in costs)
    lines.append(f"{'all':10} {'':17} {'':3} {'':9} {calls:9,} {tokens:12,} {_usd(usd):>9} {minutes:8.1f}")
    lines.append(
        f"At most {_usd(most)} and {sum(c.tokens_at_most for c in costs):,} tokens, if every completion reached its "
        "limit and every sample needed a second call of its own."
    )
    judged = f"{EXPECTED_RIGHT:.0%} of train rationales to judge, " if settings.curation.llm_judge else ""
    lines.append(
        f"Assumed: {CHARS_PER_TOKEN} characters a token, rationales of {EXPECTED_RATIONALE} tokens, second calls for "
        f"{EXPECTED_SECOND:.0%} of adaptive samples, {judged}{TOKENS_PER_S:.0f} tokens a second and call, "
        f"{teacher.max_concurrency} calls in flight. Answers that the journal already holds cost nothing again."
    )
    if price is None:
        lines.append(f"No price is known for {teacher.model!r}: set --teacher.price.input and --teacher.price.output.")
    if teacher.budget_usd is not None and usd is not None and usd > teacher.budget_usd:
        lines.append(f"The cap --teacher.budget_usd {teacher.budget_usd} is lower: the run would stop before its end.")
    if teacher.budget_tokens is not None and tokens > teacher.budget_tokens:
        lines.append(
            f"The cap --teacher.budget_tokens {teacher.budget_tokens:,} is lower: the run would stop before its end."
        )
    return "\n".join(lines)


def _usd(usd: float | None) -> str:
    return "?" if usd is None else f"${usd:,.2f}"
