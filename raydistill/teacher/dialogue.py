"""The dialogue about one question: rationale call, adaptive answer detection, answer call where it is needed.

The judge's stage is a single call about one rationale: its row's `answer_text` is the reply (see `judging`).

Method (method.md sections 2.1, 2.2, 3.4, 5): the zero-shot stage and `few_shot_unfiltered` always make the answer call;
`new_fine_tune_cot` makes it only for samples whose rationale does not hold the answer. The answer call shows question
and rationale, not the exemplars.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from raydistill.config import TeacherSettings
from raydistill.method import answers, prompts
from raydistill.teacher.api.request import Request
from raydistill.teacher.caller import Sample
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.records import Answer

STOP: dict[str, tuple[str, ...]] = {"zero_shot": (), "few_shot": ("\nQ:",), "llm_judge": ("\nQ:",)}


class Asks(Protocol):
    """What a dialogue needs of a Caller (or of the batch transport's collector)."""

    async def samples(self, request: Request, n: int, task: str, kind: str) -> list[Sample]: ...


async def dialogue(
    ask: dict[str, Any],
    stage: str,
    endpoint: Endpoint,
    settings: TeacherSettings,
    caller: Asks,
) -> list[tuple[dict[str, Any], list[tuple[str, Sample]]]]:
    """For each sample of one row of ASKS: its row of SAMPLES, and the (kind, sample) pairs that it rests on.

    `prediction` and `correct` are judged by `settings.judge`; the `baseline_` columns always by the baseline rules.
    """
    api, model = settings.dialect, endpoint.model
    first_request = endpoint.request(api, ask["prompt"], ask["max_tokens"], ask["temperature"], STOP[stage])
    if stage == "llm_judge":
        [sample] = await caller.samples(first_request, 1, ask["task"], "judgement")
        return [_judgement(ask, sample, first_request.keys([0])[0], model)]
    degree = ask["degree"]
    rationales = await caller.samples(first_request, degree, ask["task"], "rationale")
    keys = first_request.keys(range(degree))

    async def one(index: int, rationale: Sample) -> tuple[dict[str, Any], list[tuple[str, Sample]]]:
        row = _blank(ask, index, keys[index], model)
        used = [("rationale", rationale)]
        if rationale.answer is None:
            return _failed(row, used), used
        text, finish = rationale.answer.text, rationale.answer.finish_reason
        if stage == "few_shot":  # for endpoints that overlook the stop sequence
            text, run_on, _ = text.partition("\nQ:")
            finish = "stop" if run_on else finish  # a limit cut what was invented, not the rationale
        row |= {"rationale": text, "finish_reason": finish}
        kind = {"answer_type": ask["answer_type"], "choices": ask["choices"] or ()}
        if ask["adaptive"]:
            held = answers.find_in_rationale(text, finish_reason=finish, **kind)
            if held is not None:
                row["rationale"] = held.rationale
                return _judge(row, held.answer_text, "rationale", ask, used, settings, held.answer), used
        prompt = prompts.answer_call(
            ask["question"], text, task=ask["task"], trigger=settings.answer_trigger, choices=ask["choices"] or ()
        )
        answer_request = endpoint.request(api, prompt, settings.answer_max_tokens, 0.0)
        [second] = await caller.samples(answer_request, 1, ask["task"], "answer")
        used.append(("answer", second))
        if second.answer is None:
            return _failed(row, used), used
        return _judge(row, second.answer.text, "second_call", ask, used, settings), used

    return await asyncio.gather(*(one(i, sample) for i, sample in enumerate(rationales)))


def _judge(
    row: dict[str, Any],
    text: str,
    answered_by: str,
    ask: dict[str, Any],
    used: list[tuple[str, Sample]],
    settings: TeacherSettings,
    found: str | None = None,
) -> dict[str, Any]:
    verdicts = {}
    for name in ("robust", "published"):
        rules: dict[str, Any] = {"answer_type": ask["answer_type"], "rules": name, "task": ask["task"]}
        prediction = found if found is not None and name == "robust" else None
        if prediction is None:
            prediction = answers.extract(text, choices=ask["choices"] or (), **rules)
        verdicts[name] = prediction, answers.is_correct(prediction, ask["answer"], **rules)
    prediction, correct = verdicts[settings.extraction]
    row |= {
        "answer_text": text,
        "prediction": prediction,
        "correct": correct,
        "robust_prediction": verdicts["robust"][0],
        "robust_correct": verdicts["robust"][1],
        "published_prediction": verdicts["published"][0],
        "published_correct": verdicts["published"][1],
        "answered_by": answered_by if prediction is not None else "none",
    }
    return _costs(row, used)


def _judgement(
    ask: dict[str, Any], sample: Sample, key: str, model: str
) -> tuple[dict[str, Any], list[tuple[str, Sample]]]:
    row, used = _blank(ask, ask["sample_index"], key, model), [("judgement", sample)]
    if sample.answer is None:
        return _failed(row, used), used
    row |= {"answer_text": sample.answer.text, "finish_reason": sample.answer.finish_reason}
    return _costs(row, used), used


def _failed(row: dict[str, Any], used: list[tuple[str, Sample]]) -> dict[str, Any]:
    error = used[-1][1].error
    assert error is not None
    return _costs(row, used) | {"error_kind": error.kind, "error": error.message}


def _costs(row: dict[str, Any], used: list[tuple[str, Sample]]) -> dict[str, Any]:
    """A response for n samples counts for its first: the others carry 0 prompt tokens, attempts and dollars."""
    bought: list[Answer] = [sample.answer for _, sample in used if sample.answer]
    failed = [sample.error for _, sample in used if sample.error]
    usd = [a.usd for a in bought]
    return row | {
        "calls": sum(a.key == a.response for a in bought),
        "attempts": sum(a.attempts for a in bought) + sum(e.attempts for e in failed),
        "prompt_tokens": sum(a.prompt_tokens for a in bought),
        "cached_tokens": sum(a.cached_tokens for a in bought),
        "completion_tokens": sum(a.completion_tokens for a in bought),
        "cost_usd": None if None in usd else sum(u for u in usd if u is not None),
    }


def _blank(ask: dict[str, Any], index: int, key: str, model: str) -> dict[str, Any]:
    return {
        **{name: ask[name] for name in ("question_id", "task", "split", "method", "degree")},
        "sample_index": index,
        "rationale": "",
        "answer_text": "",
        "prediction": None,
        "correct": False,
        "published_prediction": None,
        "robust_prediction": None,
        "robust_correct": False,
        "published_correct": False,
        "answered_by": "none",
        "finish_reason": "",
        "teacher": model,
        "request_key": key,
        "error_kind": "",
        "error": "",
    }
