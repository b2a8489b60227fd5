"""The stages in their order, nothing else: each makes one table from tables (docs/architecture.md).

A stage whose table is complete and whose inputs and settings are unchanged is not run again. Ray and the teacher's
endpoint are opened by the first stage that needs them, the endpoint first: a wrong key costs seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import BaseModel

from raydistill import __version__, tasks
from raydistill.config import Affects, Settings
from raydistill.curation import curate, llm_judge
from raydistill.runtime import cache, cluster
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store, content_hash, fingerprint, identity
from raydistill.students import hub
from raydistill.tables import EMBEDDINGS, EXEMPLARS, SAMPLES
from raydistill.teacher import ledger, plan
from raydistill.teacher.endpoint import Endpoint, open_endpoint
from raydistill.teacher.limits import pricing


def run(settings: Settings, progress: Progress | None = None) -> str:
    """Run every stage that is not finished; returns the path of `report.html`.

    Raises:
        UserError: what a user can mend, named; everything finished so far is kept.
    """
    settings = settings.absolute()
    with ExitStack() as stack:
        return _stages(_Run(settings, Store(settings.run_path), progress or Progress(), stack))


def _stages(run: _Run) -> str:
    settings = run.settings
    methods, degrees = settings.students.methods, settings.students.degrees
    # What files a setting names hold counts too: one replaced in place is another.
    gguf = settings.teacher.local.gguf if settings.teacher.kind == "local" else None
    answers = [settings.teacher.affecting(Affects.RESULT), identity(gguf or "")]
    learning = [
        settings.students.affecting(Affects.RESULT | Affects.PREDICTIONS | Affects.GRID),
        *map(identity, settings.students.models),
    ]
    choosing = [
        settings.exemplars.affecting(Affects.RESULT),
        identity(settings.exemplars.file or ""),
    ]
    zero_shot = few_shot = SAMPLES.empty_table()
    exemplars = EXEMPLARS.empty_table()

    questions = tasks.load_questions(settings.questions, settings.seed)
    run.stage("questions", [questions], lambda: questions)
    if plan.needs_teacher(settings):
        to_ask = plan.zero_shot(questions, settings)
        zero_shot = run.stage("zero_shot", [to_ask, answers], lambda: run.ask("zero_shot", to_ask))
    if plan.few_shot_methods(settings):
        exemplars = run.stage(
            "exemplars", [questions, zero_shot, choosing, methods], lambda: run.choose(questions, zero_shot)
        )
        to_ask_again = plan.few_shot(questions, exemplars, settings)
        few_shot = run.stage("few_shot", [to_ask_again, answers], lambda: run.ask("few_shot", to_ask_again))
    judgements = None
    if settings.curation.llm_judge and plan.needs_teacher(settings):
        to_judge = llm_judge.judge_prompts(questions, zero_shot, few_shot, settings)
        how, purse = settings.curation, settings.teacher  # a larger budget judges what is unjudged
        budgets = [how.llm_judge_budget_usd, how.llm_judge_budget_tokens, purse.budget_usd, purse.budget_tokens]
        judgements = run.stage("judgements", [to_judge, answers, budgets], lambda: run.ask_for_verdicts(to_judge))
    tables = {"zero_shot": zero_shot, "few_shot": few_shot, llm_judge.STAGE: judgements}
    asked = [name for name, rows in tables.items() if rows is not None and rows.num_rows]
    bought = ledger.load(run.store, asked)
    run.stage("ledger", [bought], lambda: bought)
    training = run.stage(
        "training",
        [questions, zero_shot, few_shot, settings.curation, methods, degrees, judgements],
        lambda: curate.curate(questions, zero_shot, few_shot, settings.curation, methods, degrees, judgements),
    )
    run.teacher.close()  # a local one would keep cores and memory from the students
    students = run.stage("students", [questions, training, learning], lambda: run.train(questions, training))
    predictions = run.stage(
        "predictions",
        [questions, students, learning],
        lambda: run.predict(questions, students),
        failed=lambda found: _unanswered(questions, students, found),
    )
    run.stage("results", [students, predictions, questions], lambda: run.judge(students, predictions, questions))
    if settings.students.push_to_hub:
        hub.push(students, settings.students.push_to_hub, run.store, run.progress)
    return run.report()


def estimate(settings: Settings) -> None:
    """Print what the teacher's stages of this run would cost, without a call."""
    from raydistill.teacher import estimate as teacher_estimate

    teacher_estimate.show(tasks.load_questions(settings.questions, settings.seed), settings)


@dataclass
class _Run:
    """What the stages of one run share, each opened at its first use."""

    settings: Settings
    store: Store
    progress: Progress
    stack: ExitStack

    def __post_init__(self) -> None:
        self.teacher = self.stack.enter_context(ExitStack())
        self.store.write_text("settings.yaml", yaml.safe_dump(self.settings.model_dump(mode="json"), sort_keys=False))
        self.progress.say(f"raydistill {__version__} · run directory {self.store.path}")

    def stage(
        self,
        name: str,
        inputs: list[Any],
        make: Callable[[], pa.Table],
        failed: Callable[[pa.Table], int] | None = None,
    ) -> pa.Table:
        """Table `name`: read where it is complete, current and nothing of it `failed`, else made and written."""
        key = fingerprint(name, __version__, [_keyed(i) for i in inputs])
        if self.store.is_current(name, key):
            table = self.store.read(name)
            self.progress.skipped(name, table.num_rows)
            return table
        table = make()
        return self.store.write(name, table, key, failed=(failed or _errors)(table))

    @cached_property
    def endpoint(self) -> Endpoint:
        if self.settings.curation.llm_judge and self.settings.curation.llm_judge_budget_usd:
            pricing.find(self.settings.teacher, "--curation.llm_judge_budget_usd")
        return self.teacher.enter_context(open_endpoint(self.settings.teacher))

    @cached_property
    def ray(self) -> bool:
        cluster.connect(**self.settings.ray.model_dump())
        return True

    def ask(self, name: str, asks_table: pa.Table) -> pa.Table:
        from raydistill.teacher import stage

        endpoint = self.endpoint
        assert self.ray
        return stage.ask(name, asks_table, self.settings, endpoint, self.store, self.progress)

    def ask_for_verdicts(self, to_judge: pa.Table) -> pa.Table:
        from raydistill.teacher import stage

        endpoint, how = self.endpoint, self.settings.curation
        assert self.ray
        caps = stage.Caps(how.llm_judge_budget_usd, how.llm_judge_budget_tokens)
        samples = stage.ask(llm_judge.STAGE, to_judge, self.settings, endpoint, self.store, self.progress, caps)
        judgements = llm_judge.read(samples)
        self.progress.say(f"{'':12} {llm_judge.summary(judgements)}")
        return judgements

    def choose(self, questions: pa.Table, zero_shot: pa.Table) -> pa.Table:
        from raydistill.exemplars import embed, select

        how = self.settings.exemplars
        assert self.ray
        pool = questions if how.pool == "all" else questions.filter(pc.equal(questions["split"], "train"))
        with self.progress.stage("exemplars", pool.num_rows) as shown:
            vectors = EMBEDDINGS.empty_table()
            if not how.file:
                vectors = embed.embed(pool, how, Store(str(cache.folder("shared"))), shown.update)
            chosen, clusters = select.select_remote(questions, vectors, zero_shot, how, self.settings.students.methods)
            shown.finish(f"{chosen.num_rows} exemplars chosen from {pool.num_rows:,} questions")
        self.store.write("clusters", clusters, "with exemplars")
        return chosen

    def train(self, questions: pa.Table, training: pa.Table) -> pa.Table:
        from raydistill.students import grid

        assert self.settings.local or self.ray
        return grid.train(questions, training, self.settings, self.store, self.progress)

    def predict(self, questions: pa.Table, students: pa.Table) -> pa.Table:
        from raydistill.students import predict

        assert self.ray
        return predict.predict(questions, students, self.settings, self.store, self.progress)

    def judge(self, students: pa.Table, predictions: pa.Table, questions: pa.Table) -> pa.Table:
        from raydistill.report import results

        return results.summarise(students, predictions, questions)

    def report(self) -> str:
        from raydistill.report import page, terminal

        path = page.write(self.store, self.settings)
        terminal.show(self.store, self.settings)
        return path


def _errors(table: pa.Table) -> int:
    return pc.sum(pc.not_equal(table["error"], "")).as_py() or 0 if "error" in table.column_names else 0


def _unanswered(questions: pa.Table, students: pa.Table, predictions: pa.Table) -> int:
    """Trained students without a single answer, though their task has test questions."""
    tasks_asked = {*questions.filter(pc.not_equal(questions["split"], "train"))["task"].to_pylist()}
    trained = {s["trial"] for s in students.to_pylist() if not s["error"] and s["task"] in tasks_asked}
    return len(trained - {*predictions["trial"].to_pylist()})


def _keyed(part: Any) -> Any:
    if isinstance(part, pa.Table):
        return content_hash(part)
    return part.model_dump(mode="json") if isinstance(part, BaseModel) else part
