"""The dialogue about one question: rationale call, adaptive answer detection, answer call if it is needed.

Method (method.md sections 2.1, 2.2, 3.4, 5): `PromptRow.adaptive` says whether the answer call is always made, or only
for samples whose rationale does not hold the answer. It shows question and rationale, not the exemplars.

In the stage of the LLM judge, a dialogue is a single call about one rationale: its row's `answer_text` is the reply.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

from raydistill.config import TeacherSettings
from raydistill.method import answers, prompts
from raydistill.teacher import samples
from raydistill.teacher.api.request import Request
from raydistill.teacher.calls.stored_samples import Sample
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.readings import Answer
from raydistill.teacher.prompt_row import PromptRow
from raydistill.teacher.samples import Call, Outcome, SampleRow
from raydistill.teacher.stage_names import STOP_SEQUENCES

NEXT_QUESTION = "\nQ:"  # where a completion runs on into a question of its own


class SampleSource(Protocol):
    """What a dialogue needs of a Caller (or of the batch transport's collector)."""

    async def samples(self, request: Request, n: int, task: str, kind: str) -> list[Sample]:
        """Return samples 0 … n-1 of `request`, or why there are none."""
        ...


async def dialogue(
    prompt: PromptRow,
    stage: str,
    endpoint: Endpoint,
    settings: TeacherSettings,
    caller: SampleSource,
) -> list[Outcome]:
    """Hold the dialogue about one row of PROMPTS.

    Args:
        prompt: the row.
        stage: which run stage it belongs to.
        endpoint: where the teacher answers.
        settings: the teacher's settings.
        caller: where samples come from.

    Returns:
        One outcome for each of the row's `degree` samples; failed ones included. `prediction` and `correct` are by the
        extraction rules that `settings.extraction` names, beside both rules' own columns.
    """
    request = endpoint.request(
        settings.dialect, prompt.prompt, prompt.max_tokens, prompt.temperature, STOP_SEQUENCES[stage]
    )
    if stage == "llm_judge":
        return [await _judgement(prompt, request, endpoint.model, caller)]
    rationales = await caller.samples(request, prompt.degree, prompt.task, "rationale")
    keys = request.keys(range(prompt.degree))
    after_rationale = _AfterRationale(prompt, stage, endpoint, settings, caller)
    outcomes = []
    for index, rationale in enumerate(rationales):
        row = samples.blank(prompt, index, keys[index], endpoint.model)
        outcomes.append(after_rationale.outcome(row, rationale))
    return await asyncio.gather(*outcomes)


async def _judgement(prompt: PromptRow, request: Request, teacher: str, caller: SampleSource) -> Outcome:
    [sample] = await caller.samples(request, 1, prompt.task, "judgement")
    [key] = request.keys([0])
    row = samples.blank(prompt, prompt.sample_index, key, teacher)
    if sample.error is None and sample.answer is not None:
        row = row._replace(answer_text=sample.answer.text, finish_reason=sample.answer.finish_reason)
    return samples.finished(row, [Call("judgement", sample)])


class _AfterRationale(NamedTuple):
    """What happens to each sample of a row once its rationale is there."""

    prompt: PromptRow
    stage: str
    endpoint: Endpoint
    settings: TeacherSettings
    caller: SampleSource

    async def outcome(self, row: SampleRow, rationale: Sample) -> Outcome:
        """Read the answer out of the rationale, or ask for it."""
        calls = [Call("rationale", rationale)]
        if rationale.error is not None or rationale.answer is None:
            return samples.finished(row, calls)
        row = self._with_rationale(row, rationale.answer)
        if self.prompt.adaptive:
            contained = answers.find_in_rationale(
                row.rationale,
                answer_type=self.prompt.answer_type,
                choices=self.prompt.choices,
                finish_reason=row.finish_reason,
            )
            if contained is not None:
                row = row._replace(rationale=contained.rationale)
                row = samples.with_answer(
                    row,
                    self.prompt,
                    contained.answer_text,
                    answered_by="rationale",
                    extraction=self.settings.extraction,
                    in_rationale=contained.answer,
                )
                return samples.finished(row, calls)
        answer = await self._answer_call(row.rationale)
        calls.append(Call("answer", answer))
        if answer.error is None and answer.answer is not None:
            row = samples.with_answer(
                row,
                self.prompt,
                answer.answer.text,
                answered_by="answer_call",
                extraction=self.settings.extraction,
            )
        return samples.finished(row, calls)

    def _with_rationale(self, row: SampleRow, answer: Answer) -> SampleRow:
        text = answer.text
        finish_reason = answer.finish_reason
        if self.stage == "few_shot":  # for endpoints that overlook the stop sequence
            text, invented, _ = text.partition(NEXT_QUESTION)
            if invented:  # a token limit cut what was invented, not the rationale
                finish_reason = "stop"
        return row._replace(rationale=text, finish_reason=finish_reason)

    async def _answer_call(self, rationale: str) -> Sample:
        text = prompts.answer_call(
            self.prompt.question,
            rationale,
            task=self.prompt.task,
            trigger=self.settings.answer_trigger,
            choices=self.prompt.choices,
        )
        request = self.endpoint.request(self.settings.dialect, text, self.settings.answer_max_tokens, 0.0)
        [sample] = await self.caller.samples(request, 1, self.prompt.task, "answer")
        return sample
