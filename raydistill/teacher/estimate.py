"""What the teacher's stages will take, before a call is made: calls, tokens, dollars, minutes (method.md section 8).

Prompts are counted as they will be sent; what the teacher will write is not known, so there is an expected figure
(EXPECTED_*) and a highest one (every completion at its limit, every sample with an answer call).
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Settings, TeacherSettings
from raydistill.method import llm_judge, prompts
from raydistill.method.benchmarks import exemplar_limits
from raydistill.tables import Row, rows
from raydistill.teacher import estimate_table, plan
from raydistill.teacher.estimate_table import Cost
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.pricing import Prices
from raydistill.teacher.limits.tokens import EXPECTED_CHARS_PER_TOKEN, expected_tokens
from raydistill.teacher.prompt_row import PromptRow

EXPECTED_RATIONALE = 80  # tokens; text-davinci-002's zero-shot rationales: 50 (MultiArith) to 95 (last letters)
EXPECTED_ANSWER = 8  # tokens
EXPECTED_ANSWER_CALLS = 0.1  # fraction of few-shot samples that leave the answer out
EXPECTED_RIGHT = 0.8  # fraction of train rationales with a right answer, which are judged (curation.llm_judge)
TOKENS_PER_S = 50.0  # of one call, after its first token
FIRST_TOKEN_S = 0.4


def estimate(questions: pa.Table, settings: Settings) -> tuple[list[Cost], str]:
    """Return the cost of each stage and method of a run over `questions` (tables.QUESTIONS), and a text that shows it.

    Raises:
        TeacherError: there is a budget in dollars and no known price.
    """
    prices = pricing.find(settings.teacher)
    plans: list[pa.Table] = []
    costs: list[Cost] = []
    if plan.asks_teacher(settings):
        zero_shot = plan.zero_shot_prompts(questions, settings)
        plans.append(zero_shot)
        costs += _costs("zero_shot", zero_shot, settings, prices)
    if plan.few_shot_methods(settings):
        few_shot = plan.few_shot_prompts(questions, _stand_ins(questions, settings), settings)
        plans.append(few_shot)
        costs += _costs("few_shot", few_shot, settings, prices)
    if settings.curation.llm_judge and plans:
        judged = _judged(pa.concat_tables(plans), settings)
        costs += _costs("llm_judge", judged, settings, prices)
    return costs, _text(costs, settings, is_priced=prices is not None)


def show(questions: pa.Table, settings: Settings) -> None:
    """Print the estimate."""
    _, text = estimate(questions, settings)
    print(text)


def _stand_ins(questions: pa.Table, settings: Settings) -> pa.Table:
    """Return stand-ins for the exemplars, which only the zero-shot stage can choose.

    They are each task's questions of the most typical length, with a rationale of the expected length.
    """
    by_task: dict[str, list[Row]] = defaultdict(list)
    for question in rows(questions):
        by_task[question["task"]].append(question)
    rationale = "x" * (EXPECTED_RATIONALE * EXPECTED_CHARS_PER_TOKEN)
    exemplars = []
    for method in plan.few_shot_methods(settings):
        for task, task_questions in by_task.items():
            for question in _typical(task_questions, _exemplar_count(task, settings)):
                exemplars.append(
                    {
                        "task": task,
                        "method": method.name,
                        "question_id": "",
                        "question": question["question"],
                        "answer": question["answer"],
                        "rationale": rationale,
                    }
                )
    return pa.Table.from_pylist(exemplars)


def _typical(questions: list[Row], count: int) -> list[Row]:
    """Return the `count` questions whose length is nearest to the mean."""
    mean = sum(len(question["question"]) for question in questions) / len(questions)
    return sorted(questions, key=lambda question: abs(len(question["question"]) - mean))[:count]


def _exemplar_count(task: str, settings: Settings) -> int:
    clusters = settings.exemplars.n_clusters or exemplar_limits(task).clusters
    return clusters * settings.exemplars.per_cluster


def _judged(asked: pa.Table, settings: Settings) -> pa.Table:
    """Return the PROMPTS whose samples may be judged: train questions, methods and degrees that students learn from."""
    is_method = pc.field("method").isin(settings.students.methods)
    is_degree = pc.field("degree").isin(settings.students.degrees)
    return asked.filter((pc.field("split") == "train") & is_method & is_degree)


@dataclass
class _Totals:
    """Sums over the rows of one stage, method and degree: as expected, and (most_*) at the most."""

    prices: Prices
    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    seconds: float = 0.0
    usd: float = 0.0
    most_tokens: float = 0.0
    most_usd: float = 0.0

    def add(self, calls: float, samples: float, prompt_tokens: int, completion_tokens: int) -> None:
        """Add `calls` that return `samples` together; prompt tokens are of one call, completion tokens of a sample."""
        self.calls += calls
        self.prompt_tokens += calls * prompt_tokens
        self.completion_tokens += samples * completion_tokens
        self.seconds += calls * (FIRST_TOKEN_S + completion_tokens / TOKENS_PER_S)
        price = self.prices.at(time.time())
        self.usd += calls * price.of(prompt_tokens, 0, samples * completion_tokens / calls)

    def add_most(self, samples: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Add the most that `samples` may take, each with so many tokens."""
        self.most_tokens += samples * (prompt_tokens + completion_tokens)
        self.most_usd += samples * self.prices.most(prompt_tokens, completion_tokens)


def _costs(stage: str, asked: pa.Table, settings: Settings, prices: Prices | None) -> list[Cost]:
    groups: dict[tuple[str, int], list[PromptRow]] = defaultdict(list)
    for row in rows(asked):
        prompt = PromptRow.of(row)
        groups[prompt.method, prompt.degree].append(prompt)
    costs = []
    for (method, degree), group in groups.items():
        totals = _Totals(prices or pricing.FREE)
        if stage == "llm_judge":
            _add_judgements(totals, group, degree, settings.teacher)
        else:
            _add_rationales(totals, group, degree, settings.teacher)
        cost = Cost(
            stage=stage,
            method=method,
            degree=degree,
            questions=len(group),
            calls=round(totals.calls),
            prompt_tokens=round(totals.prompt_tokens),
            completion_tokens=round(totals.completion_tokens),
            usd=totals.usd if prices else None,
            usd_at_most=totals.most_usd if prices else None,
            tokens_at_most=round(totals.most_tokens),
            minutes=_minutes(totals, settings.teacher),
        )
        if stage == "llm_judge":
            cost = _within_own_budget(cost, settings)
        costs.append(cost)
    return costs


def _add_rationales(totals: _Totals, group: Iterable[PromptRow], degree: int, teacher: TeacherSettings) -> None:
    requests = math.ceil(degree / (teacher.samples_per_request or degree))
    for row in group:
        rationale = min(EXPECTED_RATIONALE, row.max_tokens)
        answer_calls = degree * (EXPECTED_ANSWER_CALLS if row.adaptive else 1.0)
        answer_prompt = prompts.answer_call(row.question, "", task=row.task, trigger=teacher.answer_trigger)
        prompt_tokens = expected_tokens(row.prompt)
        answer_prompt_tokens = expected_tokens(answer_prompt)
        totals.add(requests, degree, prompt_tokens, rationale)
        totals.add(answer_calls, answer_calls, answer_prompt_tokens + rationale, EXPECTED_ANSWER)
        totals.add_most(degree, prompt_tokens, row.max_tokens)
        totals.add_most(degree, answer_prompt_tokens + row.max_tokens, teacher.answer_max_tokens)


def _add_judgements(totals: _Totals, group: Iterable[PromptRow], degree: int, teacher: TeacherSettings) -> None:
    for row in group:
        prompt_tokens = expected_tokens(llm_judge.prompt(row.question, "", row.answer))
        judged = degree * EXPECTED_RIGHT
        totals.add(judged, judged, prompt_tokens + EXPECTED_RATIONALE, EXPECTED_ANSWER)
        totals.add_most(degree, prompt_tokens + row.max_tokens, teacher.answer_max_tokens)


def _minutes(totals: _Totals, teacher: TeacherSettings) -> float:
    """Return the minutes that the tightest of the limits makes of it."""
    minutes = totals.seconds / teacher.max_concurrency / 60
    if teacher.requests_per_minute:
        minutes = max(minutes, totals.calls / teacher.requests_per_minute)
    if teacher.tokens_per_minute:
        tokens = totals.prompt_tokens + totals.completion_tokens
        minutes = max(minutes, tokens / teacher.tokens_per_minute)
    return minutes


def _within_own_budget(cost: Cost, settings: Settings) -> Cost:
    """Limit the LLM judge's cost to its own budget, which ends it early; the other stages' would end the run."""
    usd_limit = settings.curation.llm_judge_budget_usd
    token_limit = settings.curation.llm_judge_budget_tokens
    if usd_limit and cost.usd is not None and cost.usd_at_most is not None:
        cost = cost._replace(usd=min(cost.usd, usd_limit), usd_at_most=min(cost.usd_at_most, usd_limit))
    if token_limit:
        cost = cost._replace(tokens_at_most=min(cost.tokens_at_most, token_limit))
    return cost


def _text(costs: list[Cost], settings: Settings, *, is_priced: bool) -> str:
    judged = ""
    if settings.curation.llm_judge:
        judged = f"{EXPECTED_RIGHT:.0%} of train rationales to judge, "
    assumed = (
        f"Assumed: {EXPECTED_CHARS_PER_TOKEN} characters a token, rationales of {EXPECTED_RATIONALE} tokens, answer "
        f"calls for {EXPECTED_ANSWER_CALLS:.0%} of adaptive samples, {judged}{TOKENS_PER_S:.0f} tokens a second and "
        f"call, {settings.teacher.max_concurrency} calls in flight. Answers that the journal already holds cost "
        "nothing again."
    )
    return estimate_table.text(costs, settings.teacher, assumed, is_priced=is_priced)
