"""The judge: the table of what breaks in the published rules, adaptive detection, and any text at all."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydistill.method import answers
from raydistill.method.answers import canonical, clean_rationale, extract, find_in_rationale, is_correct, student_answer

BALLS = ("orange ball", "white ball", "blue ball")
DATES = ("05/01/1971", "04/01/2020", "05/15/2020", "09/08/2021", "05/08/2020")
TYPES = ("number", "letter", "yes_no", "letters", "text")

NUMBER = {"answer_type": "number", "task": "addsub"}
INTEGER = {"answer_type": "number", "task": "multiarith"}
TRACKING = {"answer_type": "letter", "task": "tracking_shuffled_objects", "choices": BALLS}
DATE = {"answer_type": "letter", "task": "date_understanding", "choices": DATES}
COIN = {"answer_type": "yes_no", "task": "coin_flip"}
TEXT = {"answer_type": "text"}
LETTERS = {"answer_type": "letters", "task": "last_letter_concatenation"}


@pytest.mark.parametrize(
    ("text", "kind", "baseline", "robust"),
    [
        ("1,234.50", NUMBER, "1234.5", "1234.5"),
        ("$1,200", NUMBER, "1200", "1200"),
        ("5.", NUMBER, "5", "5"),
        ("5.00", NUMBER, "5", "5"),
        ("5.00", INTEGER, "5.00", "5"),
        (".5", NUMBER, "5", "0.5"),
        ("1/4", NUMBER, "1", "0.25"),
        ("2 1/2", NUMBER, "2", "2.5"),
        ("23-20=3", NUMBER, "23", "3"),
        ("−3", NUMBER, "3", "-3"),
        ("5, 4, 9", NUMBER, "5", None),
        ("14\n16", NUMBER, "14", None),
        ("3,4", NUMBER, "34", None),
        ("thirty-seven", NUMBER, None, "37"),
        ("Thirty-Four Dollars and that is all", NUMBER, None, "34"),
        ("50%", NUMBER, "50", "50"),
        ("4th", NUMBER, "4", "4"),
        ("12:30", NUMBER, "12", "12"),
        ("among A through C, the answer is B", TRACKING, "A", "B"),
        ("Alice has the blue ball", TRACKING, "A", "C"),
        ("A blue marble", TRACKING, "A", None),
        ("December 5", DATE, "D", None),
        ("F", DATE, "F", None),
        ("(Yes)", COIN, None, "yes"),
        ("yes!", COIN, None, "yes"),
        ("**yes**", COIN, None, "yes"),
        ("no;", COIN, None, "no"),
        ("n-a-e-y", LETTERS, "n-a-e-y", "naey"),
        ("f, n, e, l", LETTERS, "f,n,e,l", "fnel"),
        ("fnel!", LETTERS, "fnel!", "fnel"),
        ("the answer is fnel", LETTERS, "theanswerisfnel", "fnel"),
    ],
)
def test_what_breaks_in_the_published_rules(
    text: str, kind: dict[str, Any], baseline: str | None, robust: str | None
) -> None:
    assert extract(text, rules="published", **kind) == baseline
    assert extract(text, rules="robust", **kind) == robust


@pytest.mark.parametrize(
    ("text", "kind", "robust"),
    [
        (" 8. He has 8 apples left of the 10 he had.", NUMBER, "8"),
        ("x = 5 - 9 = -4", NUMBER, "-4"),
        ("-$5.50", NUMBER, "-5.5"),
        ("3 million", NUMBER, "3000000"),
        ("two million three hundred thousand and five", NUMBER, "2300005"),
        ("one hundred dollars", NUMBER, "100"),
        ("one two three", NUMBER, None),
        ("5/1/2020", NUMBER, None),
        ("7/0", NUMBER, None),
        ("9" * 400, NUMBER, None),
        ("\\boxed{\\frac{1}{2}}", NUMBER, "0.5"),
        ("The answer is:\n\n**42**", NUMBER, "42"),
        ("12\n\nQ: What is 3 + 4?\nA: 7", NUMBER, "12"),
        ("12 END of it 13", NUMBER, "12"),
        ("(b)", TRACKING, "B"),
        ("(A) or (B)", TRACKING, None),
        ("the ball. I think (C).", TRACKING, "C"),
        ("It's the WHITE  ball.", TRACKING, "B"),
        ("5/8/2020", DATE, "E"),
        ("Sept. 8th, 2021", DATE, "D"),
        ("02/27.2017", DATE, None),
        ("8/9/2021", DATE, None),  # never day first
        ("(F) 05/08/2020", DATE, "E"),
        ("the coin is no longer heads up", COIN, "no"),
        ("nothing is known", COIN, None),
        ("It may be either yes or no", COIN, None),
        ("yes/no: no", COIN, "no"),
        ("Yes, no doubt.", COIN, "yes"),
        ("Paris. It is the capital of France.", TEXT, "Paris"),
        ("“Paris.” It is so.", TEXT, "Paris"),
        (" The answer is **Paris**. It has many bridges.", TEXT, "Paris"),
        ("St. Louis. It lies on a river.", TEXT, "St. Louis"),
        ("J. K. Rowling", TEXT, "J. K. Rowling"),
        ("3.5 km. That is far.", TEXT, "3.5 km"),
        ("...\nParis!", TEXT, "Paris"),
        ('The answer is "f n e l".', LETTERS, "fnel"),
        ("été", LETTERS, "été"),
        ("", LETTERS, None),
    ],
)
def test_robust_reader(text: str, kind: dict[str, Any], robust: str | None) -> None:
    assert extract(text, **kind) == robust


def test_option_inside_another_option() -> None:
    assert extract("the blue ball", answer_type="letter", choices=("ball", "blue ball")) == "B"
    assert extract("a ball", answer_type="letter", choices=("ball", "blue ball")) == "A"
    assert extract("G", answer_type="letter", choices=tuple("abcdefg")) == "G"
    assert (
        extract("D and E", rules="published", answer_type="letter", task="generated", choices=("v", "w", "x")) is None
    )


def test_prefix_of_the_published_few_shot_rule() -> None:
    text = "6 + 4 = 10. The answer is 10. The answer is 12."
    assert extract(text, rules="published", prefix="The answer is", **NUMBER) == "10"
    assert extract("6 + 4 = 10 of 12", rules="published", prefix="The answer is", **NUMBER) == "12"


@pytest.mark.parametrize(
    ("prediction", "gold", "kind", "baseline", "robust"),
    [
        ("0.6666666666666667", "0.6666666666666666", NUMBER, True, True),
        ("0.67", "0.6666666666666666", NUMBER, False, False),
        ("5", "5.0", NUMBER, True, True),
        ("5.00", "5", INTEGER, False, True),
        ("1200", "1,200", INTEGER, True, True),
        ("0", "0.0", NUMBER, True, True),
        ("yaea", "yaeA", LETTERS, False, True),
        ("B", "B", DATE, True, True),
        ("yes", "no", COIN, False, False),
        (None, "5", NUMBER, False, False),
        ("5", "no number", NUMBER, False, False),
    ],
)
def test_comparison(prediction: str | None, gold: str, kind: dict[str, Any], baseline: bool, robust: bool) -> None:
    kind = {name: value for name, value in kind.items() if name != "choices"}
    assert is_correct(prediction, gold, rules="published", **kind) is baseline
    assert is_correct(prediction, gold, rules="robust", **kind) is robust


@pytest.mark.parametrize(
    ("text", "kind", "answer", "rationale"),
    [
        ("She had 70. 70 - 27 = 43. The answer is 43.", NUMBER, "43", "She had 70. 70 - 27 = 43."),
        ("As 70 - 27 = 43, the answer is 43.\nQ: A? The answer is 9.", NUMBER, "43", "As 70 - 27 = 43."),
        ("It is 8 + 5. So the answer is 8 + 5 = 13.", NUMBER, "13", "It is 8 + 5."),
        ("Bob has it.\nTherefore, the answer is (D).", DATE, "D", "Bob has it."),
        ("Two flips. **Final Answer:** yes", COIN, "yes", "Two flips."),
        ("n, e. The answer is ne. So the answer is ne.", LETTERS, "ne", "n, e."),
        ("The answer is (D). For Bob has it.", DATE, "D", "For Bob has it."),
        ("3 * 4 = 12.\n\nThe answer is:\n\n\\boxed{12}", NUMBER, "12", "3 * 4 = 12."),
    ],
)
def test_answer_in_the_rationale(text: str, kind: dict[str, Any], answer: str, rationale: str) -> None:
    found = find_in_rationale(text, answer_type=kind["answer_type"], choices=kind.get("choices", ()))
    assert found is not None
    assert (found.answer, found.rationale) == (answer, rationale)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("She has 43 left.", NUMBER),  # a last number is no answer sentence
        ("The answer is 5. No, the answer is 6.", NUMBER),
        ("The answer is 5 or 6.", NUMBER),
        ("The answer is 5. For 2 and 3 make 5.", NUMBER),
        ("The answer is not known.", NUMBER),
        ("In the end Alice has the blue ball.", TRACKING),
        ("The answer is (F).", DATE),
        ("She thinks.\n\nQ: Next?\nA: The answer is 5.", NUMBER),
        ("", NUMBER),
    ],
)
def test_answer_not_in_the_rationale(text: str, kind: dict[str, Any]) -> None:
    assert find_in_rationale(text, answer_type=kind["answer_type"], choices=kind.get("choices", ())) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So the answer is 4", False),
        ("So the answer is $4", False),
        ("So the answer is 4 app", True),
        ("So the answer is 4.", True),
        ("So the answer is 4\n", True),
        ("So the answer is 4\nQ: And then wh", True),
    ],
)
def test_answer_that_may_be_cut_off(text: str, found: bool) -> None:
    assert (find_in_rationale(text, answer_type="number", finish_reason="length") is not None) is found
    assert find_in_rationale(text, answer_type="number", finish_reason="stop") is not None


@pytest.mark.parametrize(
    ("completion", "kind", "expected"),
    [
        (" 70 - 27 = 43. --> 43.0", NUMBER, ("43", True)),
        ("70 - 27 --> 43 --> 44", NUMBER, ("43", True)),
        ("70 - 27 = 43. The answer is 43.", NUMBER, ("43", False)),
        ("First 3. Then 4. He has 7 apples.", NUMBER, ("7", False)),
        ("Alice and Bob swap. (A) is out. At the end Alice has the blue ball.", TRACKING, ("C", False)),
        ("x --> END 5", NUMBER, (None, True)),
    ],
)
def test_student(completion: str, kind: dict[str, Any], expected: tuple[str | None, bool]) -> None:
    assert student_answer(completion, **kind) == expected


def test_student_by_the_published_rules() -> None:
    assert student_answer("First 3 --> 4 or 5", rules="published", **NUMBER) == ("4", True)
    assert student_answer("First 3, then 5", rules="published", **NUMBER) == ("5", False)
    assert student_answer("Yes.", answer_marker="", **COIN) == ("yes", True)
    assert student_answer("yes or no", rules="published", answer_marker="", **COIN) == ("yes", True)


def test_canonical() -> None:
    assert [canonical(t, "number") for t in ("43.0", "1,200", "007", "-0.0", "1e5", "n/a")] == [
        *("43", "1200", "7", "0", "100000", "n/a")
    ]
    assert (canonical("(b).", "letter"), canonical("Yes", "yes_no"), canonical("yaeA", "letters")) == (
        "B",
        "yes",
        "yaeA",
    )
    assert canonical(" Paris. ", "text") == "Paris"
    assert is_correct("Paris. It is big.", "Paris", answer_type="text")
    assert not is_correct("Paris, Texas", "Paris", answer_type="text")
    assert canonical("...", "text") == ""


# --- any value in any style, any text at all -------------------------------------------------------------------------

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(n: int) -> str:
    for scale, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if n >= scale:
            rest = in_words(n % scale) if n % scale else ""
            return f"{in_words(n // scale)} {name} {rest}".strip()
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")


NUMBER_STYLES: list[Callable[[str], str]] = [
    lambda v: v,
    lambda v: f"{v}.",
    lambda v: f" {v} apples",
    lambda v: f"${v}",
    lambda v: f"**{v}**",
    lambda v: f"\\boxed{{{v}}}",
    lambda v: f"3 + x = {v}",
    lambda v: f"The answer is {v}.",
    lambda v: f"the final answer: {v}\n\nQ: Next 17?",
    lambda v: v.replace("-", "−"),
    lambda v: f"{v} and again {v}",
    lambda v: f"({v})",
]


@given(st.integers(-(10**9), 10**9), st.integers(0, 999), st.sampled_from(NUMBER_STYLES))
def test_numbers_come_back_from_any_style(whole: int, thousandths: int, style: Callable[[str], str]) -> None:
    written = f"{whole:,}" + (f".{thousandths:03}" if thousandths else "")
    found = extract(style(written), answer_type="number")
    assert found == canonical(written, "number")
    assert is_correct(found, written.replace(",", ""), answer_type="number")


@given(st.integers(0, 999_999_999), st.booleans())
def test_number_words_come_back(n: int, upper: bool) -> None:
    words = in_words(n)
    assert extract(words.title() if upper else f"The answer is {words}.", answer_type="number") == str(n)


@given(
    st.integers(0, 4),
    st.sampled_from(["{l}", "({l})", "{l}.", "({l}) {o}", "**{l}**", "{o}", "The answer is ({l}).", "\\boxed{{{l}}}"]),
)
def test_letters_come_back_from_any_style(index: int, style: str) -> None:
    text = style.format(l="ABCDE"[index], o=DATES[index])
    assert extract(text, answer_type="letter", choices=DATES) == "ABCDE"[index]


@given(st.sampled_from(["yes", "no"]), st.text("*_`\"'().,;:! \n-", max_size=6), st.text("*`\"'().,;:! \n", max_size=6))
def test_yes_and_no_come_back_from_any_punctuation(value: str, before: str, after: str) -> None:
    assert extract(f"{before} {value.title()}{after}", answer_type="yes_no") == value


@given(st.text("abcdefghijklmnopqrstuvwxyzé", min_size=1, max_size=9), st.sampled_from(["", " ", "-", ", ", ",", "."]))
def test_words_come_back_spelled_or_quoted(word: str, separator: str) -> None:
    spelled = separator.join(word)
    for text in (spelled, f"{spelled}!", f'It is "{spelled}".', f"The answer is {spelled}."):
        assert extract(text, answer_type="letters") == word


@given(st.text(max_size=80), st.integers(0, 10**6), st.sampled_from(["The answer is {}.", "So, the answer is ${}."]))
def test_answer_sentences_are_found_and_removed(body: str, n: int, sentence: str) -> None:
    reasoning = body.replace("nswer", "").replace("END", "").replace("\nQ:", "").strip() + "."
    found = find_in_rationale(f"{reasoning} {sentence.format(n)}", answer_type="number")
    assert found is not None
    assert found.answer == str(n)
    assert "answer is" not in found.rationale
    assert clean_rationale(found.rationale) == found.rationale


anything = st.one_of(
    st.text(st.characters(), max_size=200),
    st.lists(
        st.sampled_from(["the answer is ", "(A) ", "-", "1,000", ".", "\n", "=", "\nQ:", "-->", "/", "yes", '"', "é "])
    ).map("".join),
)


@given(anything, st.sampled_from(TYPES), st.sampled_from([(), BALLS]), st.sampled_from(["stop", "length"]))
def test_no_text_raises(text: str, answer_type: Any, choices: tuple[str, ...], finish_reason: str) -> None:
    clean_rationale(text)
    find_in_rationale(text, answer_type=answer_type, choices=choices, finish_reason=finish_reason)
    is_correct(text, text, answer_type=answer_type)
    canonical(text, answer_type)
    for rules in ("robust", "published"):
        found = extract(text, answer_type=answer_type, choices=choices, rules=rules)
        student_answer(text, answer_type=answer_type, choices=choices, rules=rules)
        is_correct(found, text, answer_type=answer_type, rules=rules, task="multiarith")
        if found is not None and rules == "robust":
            assert canonical(found, answer_type) == found
            assert is_correct(found, found, answer_type=answer_type)


JUNK = [
    "answer (",
    "the answer is ",
    "The answer is 5. ",
    "the answer: ",
    "answer is\n",
    "1",
    "1,111,",
    "1 1/",
    "-",
    "((",
    "a\u0300\u0316",
    "\u0316\u0300",
    "\\boxed{",
    "**",
    "so, therefore, ",
    "two hundred and ",
    "(A) ",
    '"',
    "a-",
    "END ",
    "\nQ",
    " ",
    "\n",
    ". ",
    "--> ",
    "=",
    "Jan. 1st",
]


@pytest.mark.parametrize("junk", JUNK)
def test_time_is_linear(junk: str) -> None:
    def seconds(size: int) -> float:
        text = (junk * (size // len(junk) + 1))[:size]
        began = time.process_time()
        for answer_type in TYPES:
            find_in_rationale(text, answer_type=answer_type, choices=BALLS, finish_reason="length")
            student_answer(text, answer_type=answer_type, choices=BALLS)
            student_answer(text, answer_type=answer_type, choices=BALLS, rules="published")
        clean_rationale(text)
        return time.process_time() - began

    # CPU time, each size in turn, the best of each: a busy machine changes its speed within the test. No collections of
    # garbage: they take as long as the other tests have left objects behind.
    gc.disable()
    try:
        pairs = [(seconds(15_000), seconds(60_000)) for _ in range(3)]
    finally:
        gc.enable()
    small, large = (min(times) for times in zip(*pairs, strict=True))
    assert large < 9 * small + 0.03  # 4 times as long if it is linear, 16 times if it is quadratic


def test_tolerance_is_the_published_one() -> None:
    assert answers.TOLERANCE == 1e-6
