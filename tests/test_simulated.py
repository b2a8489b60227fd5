"""The simulated teacher, over real HTTP: protocol, shapes of its answers, rate limits, faults, scripts."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import aiohttp
import openai
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from raydistill import simulated
from raydistill.config import QuestionSettings, SimulatedSettings
from raydistill.method import answers, prompts, steps
from raydistill.runtime.errors import TeacherError
from raydistill.simulated.parsed_prompt import parse_prompt
from raydistill.simulated.replies import GREEDY, reply
from raydistill.tasks import load_questions

QUIET = SimulatedSettings(latency_s=0, run_on_fraction=0)
COIN = (
    "A coin is heads up. Ann flips the coin. Bob does not flip the coin. Is the coin still heads up? "
    'Note that "flip" here means "reverse".'
)
PROMPT = prompts.zero_shot(COIN)


@pytest.fixture(scope="module")
def shared() -> Iterator[simulated.Teacher]:
    with simulated.serve(QUIET, context_tokens=4096) as teacher:
        yield teacher


@pytest.fixture
def teacher(shared: simulated.Teacher) -> simulated.Teacher:
    shared.reset()
    return shared


@functools.cache
def client(teacher: simulated.Teacher, key: str = "unused") -> openai.OpenAI:
    return openai.OpenAI(base_url=teacher.base_url, api_key=key, max_retries=0, timeout=20)


def complete(teacher: simulated.Teacher, prompt: Any = PROMPT, **parameters: Any) -> Any:
    parameters = {"model": teacher.model, "max_tokens": 256, "temperature": 0} | parameters
    return client(teacher).completions.create(prompt=prompt, **parameters)


def texts(response: Any) -> list[str]:
    return [choice.text for choice in response.choices]


# --- protocol --------------------------------------------------------------------------------------------------------
def test_a_zero_shot_dialogue_over_both_endpoints(teacher: simulated.Teacher) -> None:
    rationale = texts(complete(teacher))[0]
    assert rationale.startswith((" ", "\n"))
    assert rationale.count("up") >= 3
    answer_call = prompts.answer_call(COIN, rationale, task="coin_flip")
    assert answers.extract(texts(complete(teacher, answer_call))[0], answer_type="yes_no") in ("yes", "no")
    chat = client(teacher).chat.completions.create(
        model=teacher.model, messages=[{"role": "user", "content": PROMPT}], temperature=0, max_tokens=256
    )
    assert chat.choices[0].message.content == rationale.lstrip()
    assert chat.choices[0].finish_reason == "stop"
    turns = [("user", PROMPT), ("assistant", rationale), ("user", prompts.GENERIC_TRIGGER.strip())]
    chat = client(teacher).chat.completions.create(
        model=teacher.model, messages=[{"role": role, "content": text} for role, text in turns], temperature=0
    )
    assert chat.choices[0].message.content == texts(complete(teacher, answer_call))[0].lstrip()


def test_it_says_that_it_is_simulated(teacher: simulated.Teacher) -> None:
    assert "simulated" in complete(teacher).model
    assert ["simulated" in model.id for model in client(teacher).models.list()] == [True]
    raw = client(teacher).completions.with_raw_response.create(model=teacher.model, prompt=PROMPT)
    assert "simulated" in raw.headers["server"]


def test_n_gives_different_samples_and_usage_counts_them_all(teacher: simulated.Teacher) -> None:
    response = complete(teacher, n=8, temperature=0.7)
    samples = texts(response)
    assert len({*samples}) >= 6
    assert [choice.index for choice in response.choices] == [*range(8)]
    assert response.usage.completion_tokens == sum(-(-len(text) // 4) for text in samples)
    assert response.usage.prompt_tokens == -(-len(PROMPT) // 4)


def test_the_same_request_gets_the_same_text(teacher: simulated.Teacher) -> None:
    greedy = {text for _ in range(3) for text in texts(complete(teacher, n=2))}
    assert len(greedy) == 1
    together = texts(complete(teacher, n=4, temperature=0.7))
    teacher.reset()
    assert texts(complete(teacher, n=4, temperature=0.7)) == together
    teacher.reset()
    complete(teacher)  # a greedy call does not shift the samples
    assert [texts(complete(teacher, temperature=0.7))[0] for _ in range(4)] == together  # one by one: never a repeat
    seeded = [texts(complete(teacher, n=2, temperature=0.7, seed=5)) for _ in range(2)]
    assert seeded[0] == seeded[1]


def test_stop_and_length(teacher: simulated.Teacher) -> None:
    whole = texts(complete(teacher))[0]
    cut = complete(teacher, stop=[" Bob", "never"]).choices[0]
    assert (cut.text, cut.finish_reason) == (whole.split(" Bob")[0], "stop")
    cut = complete(teacher, max_tokens=5).choices[0]
    assert (cut.text, cut.finish_reason) == (whole[:20], "length")
    assert len(texts(client(teacher).completions.create(model=teacher.model, prompt=PROMPT))[0]) == 64  # OpenAI's 16


def test_a_list_of_prompts_is_answered_in_order(teacher: simulated.Teacher) -> None:
    other = prompts.zero_shot('Take the last letters of each words in "Ada Grace" and concatenate them.')
    response = complete(teacher, [PROMPT, other], n=2)
    assert [choice.index for choice in response.choices] == [0, 1, 2, 3]
    assert ["Ada" in text for text in texts(response)] == [False, False, True, True]


def test_a_long_shared_prefix_counts_as_cached(teacher: simulated.Teacher) -> None:
    block = prompts.exemplar_block(
        [{"question": COIN, "rationale": f"Take {i}. " * 40, "answer": "no"} for i in range(16)]
    )
    first, again = (complete(teacher, prompts.few_shot(block, q)).usage for q in (COIN, COIN.replace("Ann", "Zoe")))
    assert first.prompt_tokens_details.cached_tokens == 0
    cached = again.prompt_tokens_details.cached_tokens
    assert cached % 128 == 0
    assert 1024 <= cached <= len(block) // 4
    assert len(block) // 4 - cached < 128
    assert complete(teacher).usage.prompt_tokens_details.cached_tokens == 0  # too short


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "gpt-9"),
        ({"prompt": "word " * 4000}, openai.BadRequestError, "maximum context length is 4096"),
        ({"prompt": "word " * 3200, "max_tokens": 200}, openai.BadRequestError, "200 for the completion"),
        ({"prompt": [1, 2]}, openai.BadRequestError, "prompt"),
        ({"n": 0}, openai.BadRequestError, "'n'"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"stop": ["a"] * 5}, openai.BadRequestError, "stop"),
    ],
)
def test_bad_requests(teacher: simulated.Teacher, wrong: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        complete(teacher, **wrong)
    assert teacher.stats()["answered"] == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    body=st.dictionaries(
        st.sampled_from(["prompt", "messages", "n", "stop", "max_tokens", "temperature", "seed", "stream"]), json_values
    ),
    path=st.sampled_from(["completions", "chat/completions"]),
)
def test_no_body_breaks_the_server(shared: simulated.Teacher, body: dict[str, Any], path: str) -> None:
    if isinstance(body.get("n"), int):
        body["n"] = min(body["n"], 3)
    data = json.dumps({"model": shared.model, **body}).encode()
    request = urllib.request.Request(f"{shared.base_url}/{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            status, answer = response.status, json.load(response)
    except urllib.error.HTTPError as error:
        status, answer = error.code, json.load(error)
    assert answer["choices"] if status == 200 else 400 <= status < 500 and answer["error"]["message"]


def test_keys_and_model_names() -> None:
    with simulated.serve(QUIET, models=["gpt-3.5-turbo-instruct"], api_key="right") as teacher:
        with pytest.raises(openai.AuthenticationError):
            client(teacher, "wrong").models.list()
        with pytest.raises(openai.AuthenticationError):
            client(teacher, "wrong").completions.create(model=teacher.model, prompt=PROMPT)
        response = client(teacher, "right").completions.create(model="gpt-3.5-turbo-instruct", prompt=PROMPT)
        assert response.model == "simulated:gpt-3.5-turbo-instruct"
        assert "right" not in json.dumps(teacher.log())


# --- load and limits -------------------------------------------------------------------------------------------------
async def _many(url: str, count: int) -> list[tuple[int, Any]]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(i: int) -> tuple[int, Any]:
            body = {"model": simulated.MODEL, "prompt": PROMPT.replace("Ann", f"Ann{i}"), "max_tokens": 128}
            async with session.post(f"{url}/completions", json=body) as response:
                return response.status, response.headers.copy()

        return await asyncio.gather(*(one(i) for i in range(count)))


def test_many_requests_in_flight() -> None:
    with simulated.serve(SimulatedSettings(latency_s=0.5)) as teacher:
        started = time.monotonic()
        replies = asyncio.run(_many(teacher.base_url, 256))
        assert time.monotonic() - started < 256 * 0.5 / 4  # not one after another
        stats = teacher.stats()
        assert {status for status, _ in replies} == {200}
        assert stats["peak_in_flight"] > 100
        assert stats["requests"] == stats["answered"] == stats["choices"] == len(stats["prompts"]) == 256
        assert stats["cpu_s"] < stats["seconds"]


def test_requests_per_minute_are_enforced_as_openai_does() -> None:
    with simulated.serve(SimulatedSettings(latency_s=0, requests_per_minute=60)) as teacher:
        replies = asyncio.run(_many(teacher.base_url, 70))
        stats = teacher.stats()
        rejected = [headers for status, headers in replies if status == 429]
        refilled = math.ceil(stats["seconds"])  # a minute's worth at once, then one a second
        assert 10 - refilled <= len(rejected) <= 10
        assert stats["rate_limited"] == len(rejected)
        assert {headers["x-ratelimit-limit-requests"] for _, headers in replies} == {"60"}
        wait = max(float(headers["retry-after"]) for headers in rejected)
        assert 0 < wait <= 2
        time.sleep(wait)
        assert complete(teacher).choices


def test_tokens_per_minute_are_enforced() -> None:
    with simulated.serve(SimulatedSettings(latency_s=0, tokens_per_minute=600)) as teacher:
        replies = asyncio.run(_many(teacher.base_url, 12))
        stats = teacher.stats()
        assert 0 < stats["rate_limited"] == sum(status == 429 for status, _ in replies)
        assert 300 < stats["prompt_tokens"] + stats["completion_tokens"] <= 600 + 10 * stats["seconds"] + 1
        with pytest.raises(openai.RateLimitError, match="too large"):
            complete(teacher, "word " * 1000)


def test_faults_come_at_their_rate_and_pass_on_retry() -> None:
    with simulated.serve(SimulatedSettings(latency_s=0, fault_fraction=0.3)) as teacher:
        good, kinds = 0, set()
        for i in range(100):
            try:
                good += bool(complete(teacher, PROMPT.replace("Ann", f"Ann{i}")).choices)
            except openai.OpenAIError as error:
                kinds.add(type(error).__name__)
        assert 50 <= good <= 88
        assert kinds == {"InternalServerError", "APIConnectionError"}
        assert teacher.stats()["faults"] == 100 - good


# --- scripts ---------------------------------------------------------------------------------------------------------
def test_scripted_answers(teacher: simulated.Teacher) -> None:
    gold = "If there are 3 cars and 2 more arrive, how many cars are there?"
    sure = prompts.answer_call(gold, " There are 3 cars. 3 + 2 = 5. The result is 5.", task="addsub")
    teacher.script(
        [
            {"match": "Ann", "call": "answer", "text": " maybe."},
            {"match": "Ann", "text": ["one END two", "three"]},
            {"match": "Zoe", "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}},
            {"match": "Kim", "omit_usage": True, "finish_reason": "content_filter"},
        ],
        answers={gold: "5"},
    )
    assert texts(complete(teacher, n=3, stop="END")) == ["one ", "three", "one "]
    assert texts(complete(teacher, prompts.answer_call(COIN, " Heads.", task="coin_flip"))) == [" maybe."]
    assert complete(teacher, PROMPT.replace("Ann", "Zoe")).usage.prompt_tokens == 7
    bare = complete(teacher, PROMPT.replace("Ann", "Kim"))
    assert bare.usage is None
    assert bare.choices[0].finish_reason == "content_filter"
    assert "five" in texts(complete(teacher, sure))[0] or "5" in texts(complete(teacher, sure))[0]


def test_scripted_troubles_end_when_they_should(teacher: simulated.Teacher) -> None:
    teacher.script(
        [
            {"match": "Ann", "skip": 1, "times": 1, "status": 503, "message": "busy", "headers": {"retry-after": "7"}},
            {"match": "Ann", "times": 1, "reset": True},
            {"match": "Ann", "times": 1, "truncate": 40},
            {"match": "Ann", "times": 1, "body": "<html>"},
            {"match": "Zoe", "refuse_n": True},
            {"match": "Kim", "hang": True},
            {"match": "Lee", "delay_s": 0.3, "text": "late"},
        ]
    )
    # the second rule fits the first request, which the first rule only skips
    with pytest.raises(openai.APIConnectionError):
        complete(teacher)
    with pytest.raises(openai.InternalServerError, match="busy") as busy:
        complete(teacher)
    assert busy.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.APIConnectionError):
        complete(teacher)
    with pytest.raises(json.JSONDecodeError):
        complete(teacher)
    assert complete(teacher).choices
    with pytest.raises(openai.BadRequestError, match="'n'"):
        complete(teacher, PROMPT.replace("Ann", "Zoe"), n=2)
    assert complete(teacher, PROMPT.replace("Ann", "Zoe"), n=1).choices
    with pytest.raises(openai.APITimeoutError):
        client(teacher).with_options(timeout=0.3).completions.create(
            model=teacher.model, prompt=PROMPT.replace("Ann", "Kim")
        )
    started = time.monotonic()
    assert texts(complete(teacher, PROMPT.replace("Ann", "Lee"))) == ["late"]
    assert time.monotonic() - started >= 0.3


def test_a_misspelt_rule_is_rejected(teacher: simulated.Teacher) -> None:
    with pytest.raises(ValueError, match="delay"):
        teacher.script([{"delay": 3}])


def test_stats_and_log_show_what_was_bought(teacher: simulated.Teacher) -> None:
    teacher.script([{"times": 1, "status": 500}])
    with pytest.raises(openai.InternalServerError):
        complete(teacher)
    complete(teacher, n=3, temperature=0.5)
    complete(teacher, PROMPT.replace("Ann", "Zoe"))
    stats, log = teacher.stats(), teacher.log()
    assert sorted(stats["prompts"].values()) == [[1, 1], [2, 3]]  # [asked, choices given]
    assert (stats["requests"], stats["answered"], stats["faults"]) == (3, 2, 1)
    assert [entry["status"] for entry in log] == [500, 200, 200]
    assert log[1]["prompt"] == PROMPT
    assert log[1]["n"] == 3
    teacher.reset()
    assert teacher.stats()["requests"] == 0


# --- what it writes --------------------------------------------------------------------------------------------------
class Rates(NamedTuple):
    """Fractions of the questions."""

    right: float
    contained: float
    lucky: float
    unread: float
    run_on: float


def _rates(task: str, questions: list[dict[str, Any]], settings: SimulatedSettings, few_shot: bool) -> Rates:
    """Rates over one greedy dialogue for each question, by the rules that apply to any teacher."""
    exemplars = [{"question": q["question"], "rationale": "So it is.", "answer": q["answer"]} for q in questions[:4]]
    block = prompts.exemplar_block(exemplars) if few_shot else ""
    right = contained = lucky = unread = run_on = 0
    for row in questions:
        options = {"answer_type": row["answer_type"], "choices": row["choices"] or ()}
        text = reply(prompts.few_shot(block, row["question"]), GREEDY, settings)
        contained_answer = answers.find_in_rationale(text, **options)
        if contained_answer:
            prediction: str | None = contained_answer.answer
        else:
            answer_call = prompts.answer_call(row["question"], text.split("\n\nQ:")[0], task=task)
            prediction = answers.extract(reply(answer_call, GREEDY, settings), task=task, **options)
        is_right = answers.is_correct(prediction, row["answer"], answer_type=row["answer_type"], task=task)
        fault = steps.check(text, question=row["question"], prediction=prediction, **options)
        right += is_right
        contained += contained_answer is not None
        lucky += bool(is_right and fault)
        unread += prediction is None
        run_on += "\nQ: " in text
    n = len(questions)
    return Rates(right / n, contained / n, lucky / n, unread / n, run_on / n)


@pytest.mark.parametrize(
    ("task", "items", "contained"),
    [
        ("coin_flip", 4, 0.12),
        ("coin_flip", 7, 0.12),
        ("last_letter_concatenation", 4, 0.84),
        ("tracking_shuffled_objects", 3, 0.12),
        ("tracking_shuffled_objects", 5, 0.12),
        ("tracking_shuffled_objects", 7, 0.12),
    ],
)
def test_it_works_the_symbolic_tasks_out_and_errs_as_often_as_set(task: str, items: int, contained: float) -> None:
    table = load_questions(
        QuestionSettings(tasks=[task], source="generated", generated_size=300, generated_items=items),
        seed=3,
    )
    questions = table.to_pylist()
    perfect = SimulatedSettings(zero_shot_accuracy=1, few_shot_accuracy=1, lucky_fraction=0, run_on_fraction=0)
    for few_shot in (False, True):
        rates = _rates(task, questions[:150], perfect, few_shot)
        # an answer call contradicts its rationale now and then, but never more than 2 % of the time by design
        assert rates.right > 0.97, rates
        assert rates.lucky < 0.03, rates
    settings = SimulatedSettings(zero_shot_accuracy=0.7, few_shot_accuracy=0.9, lucky_fraction=0.1, run_on_fraction=0.2)
    zero = _rates(task, questions, settings, few_shot=False)
    few = _rates(task, questions, settings, few_shot=True)
    assert zero.right == pytest.approx(0.7, abs=0.08)
    assert few.right == pytest.approx(0.9, abs=0.07)
    assert few.contained == pytest.approx(0.94, abs=0.04)
    assert zero.contained == pytest.approx(contained, abs=0.07)
    assert zero.run_on == pytest.approx(0.2, abs=0.07)
    assert few.lucky == pytest.approx(0.09, abs=0.05)  # right answers on steps that do not hold
    assert zero.unread == few.unread == 0


def test_the_published_symbolic_questions_are_worked_out(data_dir: Any) -> None:
    perfect = SimulatedSettings(zero_shot_accuracy=1, few_shot_accuracy=1, lucky_fraction=0, run_on_fraction=0)
    for task, least in (("coin_flip", 0.98), ("tracking_shuffled_objects", 0.98), ("last_letter_concatenation", 0.95)):
        questions = load_questions(QuestionSettings(tasks=[task], source="published"), seed=0).to_pylist()
        # 15 published last-letter questions have two-word names, whose gold cannot be known from the text
        assert _rates(task, questions, perfect, few_shot=True).right >= least


def test_wordings_are_many_and_short_enough_for_a_small_student() -> None:
    zero = [reply(PROMPT, i, QUIET) for i in range(1000)]
    assert len({*zero}) > 500
    four = COIN.replace("Bob", "Bob flips the coin. Cy flips the coin. Dee")
    lengths = sorted(len(reply(prompts.zero_shot(four), i, QUIET).split()) for i in range(200))
    assert 30 <= lengths[100] <= 60


def test_number_and_choice_questions_are_guessed_unless_a_test_knows_better() -> None:
    question = "Tom has 12 apples and buys 30 more. He gives 2 away. How many apples has he got?"
    settings = SimulatedSettings(few_shot_accuracy=1, missing_answer_fraction=0, run_on_fraction=0)
    block = prompts.exemplar_block([{"question": "1 + 1?", "rationale": "1 + 1 = 2.", "answer": "2"}])
    text = reply(prompts.few_shot(block, question), GREEDY, settings)
    assert "simulated teacher cannot work the question out" in text
    told = reply(prompts.few_shot(block, question), GREEDY, settings, gold="40")
    assert "12 + 30 = 42" in told or "30 + 12 = 42" in told
    found = answers.find_in_rationale(told, answer_type="number")
    assert found is not None
    assert found.answer == "40"
    shapes = {
        reply(prompts.answer_call(question, told.split(" The answer is")[0], task="svamp") + " " * i, GREEDY, settings)
        for i in range(60)
    }
    assert {" 40.", " 40", " forty.", " 40.0"} <= shapes
    date = "What day is it?\nWhich choice is true? Answer choices: (A) 01/02/2020, (B) 02/02/2020."
    told = reply(prompts.few_shot(block, date), GREEDY, settings, gold="B")
    found = answers.find_in_rationale(told, answer_type="letter", choices=["01/02/2020", "02/02/2020"])
    assert found is not None
    assert found.answer == "B"


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=200) | st.text(alphabet='QA: \n"(AB).,coin is heads up?flips', max_size=200), st.integers(-1, 9)
)
def test_any_prompt_gets_a_text(prompt: str, sample: int) -> None:
    assert reply(prompt, sample, SimulatedSettings()).strip()
    assert reply(prompts.zero_shot(prompt), sample, SimulatedSettings()).strip()


def test_prompt_layouts_are_told_apart() -> None:
    block = prompts.exemplar_block([{"question": "a?", "rationale": "b.", "answer": "c"}])
    assert parse_prompt(PROMPT)[:3] == (COIN, "", "rationale")
    assert parse_prompt(prompts.few_shot(block, COIN)).exemplars == block.strip()
    for trigger in ("generic", "per_dataset"):
        asked = prompts.answer_call(COIN, " It turns. The answer is unclear.", task="coin_flip", trigger=trigger)
        assert parse_prompt(asked) == (COIN, "", "answer", " It turns. The answer is unclear.")
    assert parse_prompt(f"Q: {COIN}\n\nA:").call == "direct"
    assert parse_prompt(COIN) == (COIN, "", "rationale", "")


# --- its process -----------------------------------------------------------------------------------------------------
def test_it_does_not_outlive_a_killed_parent() -> None:
    code = (
        "import time\nfrom raydistill.config import SimulatedSettings\nfrom raydistill import simulated\n"
        "with simulated.serve(SimulatedSettings()) as t:\n print(t.base_url, flush=True)\n time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        teacher = simulated.Teacher(parent.stdout.readline().strip())
        assert teacher.stats()["requests"] == 0
        os.kill(parent.pid, signal.SIGKILL)
    for _ in range(100):
        try:
            teacher.stats()
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail("the server still answers")


def test_a_taken_port_is_one_clear_error(teacher: simulated.Teacher) -> None:
    port = int(teacher.base_url.split(":")[-1].removesuffix("/v1"))
    with pytest.raises(TeacherError, match=f"port {port}"), simulated.serve(QUIET, port=port):
        pass


def test_it_runs_standalone() -> None:
    command = [sys.executable, "-m", "raydistill.simulated", "--port", "0", "--few-shot-accuracy", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        try:
            assert "not a model" in line
            assert complete(simulated.Teacher(line.split()[-1])).choices
        finally:
            process.terminate()
