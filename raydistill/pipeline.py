"""The stages in their order, nothing else: each makes one table from tables (docs/architecture.md).

A stage whose table is complete and whose inputs and settings are unchanged is not run again. Ray and the teacher's
endpoint are opened by the first stage that needs them, the endpoint first: a wrong key costs seconds.

To add a stage, add its schema to `tables`, its format number to `runtime.stage_formats`, and a function here.
"""

from __future__ import annotations

from contextlib import ExitStack

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tasks
from raydistill.config import Affects, Settings
from raydistill.curation import curate, judge_stage
from raydistill.method import methods
from raydistill.run_context import RunContext
from raydistill.runtime import cache, run_lock, run_log
from raydistill.runtime.files import identity
from raydistill.runtime.progress import Progress
from raydistill.runtime.result import RunResult
from raydistill.runtime.store import Store
from raydistill.students import hub
from raydistill.tables import EMBEDDINGS, EXEMPLARS, SAMPLES
from raydistill.teacher import ledger, plan
from raydistill.teacher.limits.budget import Budget


def run(settings: Settings, progress: Progress | None = None) -> RunResult:
    """Run every stage that is not finished; everything finished is kept, whatever happens after.

    Args:
        settings: the run; `settings.run_dir` is where it goes on.
        progress: where a person sees it work; stderr if None.

    Returns:
        The run's report and tables, to look at.

    Raises:
        UserError: something that the user can fix, named.
    """
    settings = settings.absolute()
    store = Store(settings.run_path)
    with ExitStack() as stack:
        stack.enter_context(run_lock.hold(store, "raydistill run"))
        stack.enter_context(run_log.attach(store))
        report = _run_stages(RunContext(settings, store, progress or Progress(), stack))
    return RunResult(store.path, report)


def estimate(settings: Settings) -> None:
    """Print what the teacher's stages of this run would cost, without a call."""
    from raydistill.teacher import estimate as teacher_estimate

    questions = tasks.load_questions(settings.questions, settings.seed)
    teacher_estimate.show(questions, settings)


def _run_stages(run: RunContext) -> str:
    """Run the stages; return the path of the report."""
    questions = _questions(run)
    zero_shot = _zero_shot(run, questions)
    exemplars = _exemplars(run, questions, zero_shot)
    few_shot = _few_shot(run, questions, exemplars)
    judgements = _judgements(run, questions, zero_shot, few_shot)
    _ledger(run, zero_shot, few_shot, judgements)
    training = _training(run, questions, zero_shot, few_shot, judgements)
    run.close_teacher()
    students = _students(run, questions, training)
    predictions = _predictions(run, questions, students)
    _results(run, questions, students, predictions)
    if run.settings.students.push_to_hub:
        hub.push(students, run.settings.students.push_to_hub, run.store, run.progress)
    return _report(run)


def _questions(run: RunContext) -> pa.Table:
    questions = tasks.load_questions(run.settings.questions, run.settings.seed)
    return run.stage("questions", [questions], lambda: questions)


def _zero_shot(run: RunContext, questions: pa.Table) -> pa.Table:
    """Let the teacher answer without exemplars (paper section 2.1)."""
    if not plan.asks_teacher(run.settings):
        return SAMPLES.empty_table()
    prompts = plan.zero_shot_prompts(questions, run.settings)
    return run.stage("zero_shot", [prompts, run.teacher_settings], lambda: run.complete("zero_shot", prompts))


def _exemplars(run: RunContext, questions: pa.Table, zero_shot: pa.Table) -> pa.Table:
    """Embed and cluster the questions, and choose an exemplar for each cluster (Algorithm 1)."""
    if not methods.few_shot(run.settings.students.methods):
        return EXEMPLARS.empty_table()
    settings = run.settings.exemplars
    inputs = [
        questions,
        zero_shot,
        settings.affecting(Affects.RESULT),
        identity(settings.file or ""),
        list(run.settings.students.methods),
    ]
    return run.stage("exemplars", inputs, lambda: _choose_exemplars(run, questions, zero_shot))


def _choose_exemplars(run: RunContext, questions: pa.Table, zero_shot: pa.Table) -> pa.Table:
    from raydistill.exemplars import embed, select

    settings = run.settings.exemplars
    pool = questions
    if settings.pool == "train":
        pool = questions.filter(pc.equal(questions["split"], "train"))
    run.connect_ray()
    with run.progress.stage("exemplars", pool.num_rows) as stage:
        embeddings = EMBEDDINGS.empty_table()
        if not settings.file:
            shared_cache = Store(str(cache.folder("shared")))
            embeddings = embed.embed(pool, settings, shared_cache, stage.update)
        exemplars, clusters = select.select_remote(
            questions, embeddings, zero_shot, settings, run.settings.students.methods
        )
        stage.finish(f"{exemplars.num_rows} exemplars chosen from {pool.num_rows:,} questions")
    run.store.write("clusters", clusters, "with exemplars")
    return exemplars


def _few_shot(run: RunContext, questions: pa.Table, exemplars: pa.Table) -> pa.Table:
    """Let the teacher answer every question again, with the exemplars before it (paper section 2.2)."""
    if not methods.few_shot(run.settings.students.methods):
        return SAMPLES.empty_table()
    prompts = plan.few_shot_prompts(questions, exemplars, run.settings)
    return run.stage("few_shot", [prompts, run.teacher_settings], lambda: run.complete("few_shot", prompts))


def _judgements(run: RunContext, questions: pa.Table, zero_shot: pa.Table, few_shot: pa.Table) -> pa.Table | None:
    """Let the teacher judge the rationales that would be kept; None if it is not asked to."""
    settings = run.settings
    if not settings.curation.llm_judge or not plan.asks_teacher(settings):
        return None
    prompts = judge_stage.judge_prompts(questions, zero_shot, few_shot, settings)
    # Budgets count: with a larger one, what is unjudged is judged.
    budgets = [
        settings.curation.llm_judge_budget_usd,
        settings.curation.llm_judge_budget_tokens,
        settings.teacher.budget_usd,
        settings.teacher.budget_tokens,
    ]
    return run.stage("judgements", [prompts, run.teacher_settings, budgets], lambda: _judge(run, prompts))


def _judge(run: RunContext, prompts: pa.Table) -> pa.Table:
    settings = run.settings.curation
    budget = Budget(settings.llm_judge_budget_usd, settings.llm_judge_budget_tokens)
    judgements = judge_stage.read(run.complete(judge_stage.STAGE, prompts, budget))
    run.progress.say(f"{'':12} {judge_stage.summary(judgements)}")
    return judgements


def _ledger(run: RunContext, zero_shot: pa.Table, few_shot: pa.Table, judgements: pa.Table | None) -> None:
    """Sum up what the answers that this run rests on cost."""
    samples = {"zero_shot": zero_shot, "few_shot": few_shot, judge_stage.STAGE: judgements}
    stages = [name for name, table in samples.items() if table is not None and table.num_rows]
    purchases = ledger.load(run.store, stages)
    run.stage("ledger", [purchases], lambda: purchases)


def _training(
    run: RunContext, questions: pa.Table, zero_shot: pa.Table, few_shot: pa.Table, judgements: pa.Table | None
) -> pa.Table:
    """Decide which samples become training text."""
    settings = run.settings.curation
    names = run.settings.students.methods
    degrees = run.settings.students.degrees
    inputs = [questions, zero_shot, few_shot, settings, list(names), list(degrees), judgements]
    return run.stage(
        "training",
        inputs,
        lambda: curate.curate(questions, zero_shot, few_shot, settings, names, degrees, judgements),
    )


def _students(run: RunContext, questions: pa.Table, training: pa.Table) -> pa.Table:
    """Train the grid of students, each once."""

    def train() -> pa.Table:
        from raydistill.students import grid

        if not run.settings.local:
            run.connect_ray()
        return grid.train(questions, training, run.settings, run.store, run.progress)

    return run.stage("students", [questions, training, *run.student_settings], train)


def _predictions(run: RunContext, questions: pa.Table, students: pa.Table) -> pa.Table:
    """Let every student answer its task's test questions."""

    def predict_all() -> pa.Table:
        from raydistill.students import predict

        if not run.settings.local:
            run.connect_ray()
        return predict.predict(questions, students, run.settings, run.store, run.progress)

    return run.stage(
        "predictions",
        [questions, students, *run.student_settings],
        predict_all,
        count_failed=lambda predictions: _count_silent_students(questions, students, predictions),
    )


def _results(run: RunContext, questions: pa.Table, students: pa.Table, predictions: pa.Table) -> None:
    """Compute the accuracies with their intervals."""

    def summarise() -> pa.Table:
        from raydistill.report import results

        return results.summarise(students, predictions, questions)

    run.stage("results", [students, predictions, questions], summarise)


def _report(run: RunContext) -> str:
    """Write the page and print the summary; return the page's path."""
    from raydistill.report import page, terminal

    path = page.write(run.store, run.settings)
    terminal.show(run.store, run.settings)
    return path


def _count_silent_students(questions: pa.Table, students: pa.Table, predictions: pa.Table) -> int:
    """Count trained students without a single answer, though their task has test questions."""
    tests = questions.filter(pc.not_equal(questions["split"], "train"))
    tested_tasks = set(tests["task"].to_pylist())
    trained = students.filter(pc.equal(students["error"], ""))
    asked = trained.filter(pc.is_in(trained["task"], pa.array(sorted(tested_tasks), pa.string())))
    return len(set(asked["trial"].to_pylist()) - set(predictions["trial"].to_pylist()))
