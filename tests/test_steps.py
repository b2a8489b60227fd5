"""Step checks: what holds must pass, what does not must be found, and no text may break them."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydistill.method.equations import equations
from raydistill.method.steps import check
from raydistill.simulated.puzzles import Intent, recognise


def check_text(rationale: str, **arguments: Any) -> str | None:
    """The fault of a rationale as a sentence."""
    fault = check(rationale, **arguments)
    return None if fault is None else str(fault)


def false_equations(text: str) -> list[str]:
    return [e.text for e in equations(text) if e.holds is False]


@pytest.mark.parametrize(
    "text",
    [
        "5 + 3 = 8",
        "5 apples + 3 apples = 8 apples.",
        "There are 12 - 5 = 7 left, so 7 * 2 = 14.",
        "40 + 32 = 72 books.",
        "That's 3 × 6 = 18 dollars.",
        "14 bears divided by 7 bears per shelf equals 2 shelves.",
        "they will need (4*3)+(10*1.5)=27 pounds of soil",
        "The cost is $1,350 + (6 x $350) = $3,450.",
        "So, 4.5 hours = 240 + 30 minutes = 270 minutes.",
        "$216 divided by 27 is $8.",
        "3.5+1=4.5, then 4.5 * 2 = 9",
        "17 / 5 = 3.4 and 10/3 = 3.33 and 2/3 = 0.67 and 2/3 = 0.66",
        "0.3333333333 + 0.3333333333 = 0.6666666667",
        "33.33 * 3 = 100.00",
        "100% - 20% = 80%, and 1/5 = 20%",
        r"\frac{6}{2} = 3 and 4 \times 5 = 20",
        "1. 5 + 3 = 8\n2. 8 + 1 = 9",
        "- 5 + 3 = 8",
        "10 / 4 ≈ 2.5",
        "8 = 5 + 3 = 8",
        "8 - 10 = -2",
        "2 * -3 = -6",
        "**5 + 3 = 8**",
        "3 x 4 = 12 = 1 dozen",  # the first of them; what a dozen is goes unread
    ],
)
def test_equations_that_hold(text: str) -> None:
    found = list(equations(text))
    assert found
    assert all(e.holds for e in found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("5 + 3 = 9", "5 + 3 = 9"),
        ("65 + 94 + 81 + 86 + 74 = 490", "65 + 94 + 81 + 86 + 74 = 490"),
        ("The cost is $1,350 + (6 x $350) = $3,350.", "$1350 + (6 * $350) = $3350"),
        ("5 + 3 = 8 + 2 = 10", "5 + 3 = 8 + 2"),
        ("10 / 3 = 3.5", "10 / 3 = 3.5"),
        ("16 divided by 4 is 5", "16 / 4 is 5"),
        ("He had 5 + 3 = a total of 9 balls", "5 + 3 = a total of 9 balls"),
        ("$4.25 + $3.50 = $7.85", "$4.25 + $3.50 = $7.85"),
        ("5 + 3 = 8 = 9", "8 = 9"),
        ("2 * (3 + 4) = 10", "2 * (3 + 4) = 10"),
        ("5 feet + 3 feet = 9 feet", "5 feet + 3 feet = 9 feet"),
        ("760 quarters - 418 quarters = 341 quarters", "760 quarters - 418 quarters = 341 quarters"),
        ("5 + 3 = 9 in all", "5 + 3 = 9 in all"),
        ("and 5 + 3 = 9 more", "5 + 3 = 9"),
        ("172-186 = 14 shirts", "172 - 186 = 14 shirts"),
        ("So **5 + 3 = 9**.", "5 + 3 = 9"),
        ("5 + 3 is **9**.", "5 + 3 is 9"),
    ],
)
def test_equations_that_do_not_hold(text: str, told: str) -> None:
    assert false_equations(text) == [told]


@pytest.mark.parametrize(
    "text",
    [
        "20% of 50 = 10",
        "half of 3 + 5 = 4",
        "2 hours - 30 minutes = 90 minutes",
        "$1 - 25 cents = 75 cents",
        "x + 3 = 8, so 2x + 3 = 13 and x + x + x = 20.25",
        "On 05/01/2021 + 1 = 05/02/2021",
        "17 / 5 = 3 remainder 2",
        "5 + 3 is 6 more than 2",
        "3/5 of 50 is 30. 30% of 15 is 4.5.",
        "We sold 10 + 2(45) = 100 goats",
        "Step 1 - 5 + 3 = 8",
        "2^3 + 1 = 9",
        "4 / 0 = 5",
        "10:30 + 2 = 12:30",
        "2 1/2 + 1 = 3 1/2",
        "2 dozen - 4 = 20 and 1/4 + 1/2 = 3 quarters and 5 + 7 = 1 dozen",
        "1 and 1/8 laps plus 2 and 1/8 laps is 3 and 1/4 laps.",
        "1 and 1/8 + 2 and 1/8 = 3 and 1/4",
        "5 tens + 3 ones = 53",
        "9 mod 4 + 1 = 2",
        "7%3 + 1 = 2",
        "2**3 * 2 = 16 and 2 ** 3 * 2 = 16",
        "sqrt(16) + 2 = 6",
        "3 * 2 feet = 6 feet = 72 inches = 2 yards",
        "5 ft + 3 in = 63 in",
        '5\'3" + 2" = 5\'5"',
        "5 feet 3 inches + 2 inches = 65 inches",
        "2 hours 30 minutes + 45 minutes = 195 minutes",
        "10 am + 4 hours = 2 pm",
        "9/7 - 1 day = 9/6",
        "15 + 48 = 12 + 2x",  # text-davinci-002 sets up equations
        "the equation $x-5-7-4-5=0$",
        "the sum of 5 and 3 + 2 is 10",
    ],
)
def test_what_is_not_understood_is_not_called_wrong(text: str) -> None:
    assert false_equations(text) == []


@given(st.integers(-999, 999), st.integers(1, 999), st.sampled_from("+-*/"), st.integers(-2, 2))
def test_arithmetic_is_judged_right(a: int, b: int, sign: str, off: int) -> None:
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[sign]
    exact = sign != "/" or a % b == 0
    text = f"He works out ({a}) {sign} {b} = {value + off} in all."
    if exact:
        assert (false_equations(text) == []) == (off == 0)
    elif abs(off) > 1:
        assert false_equations(text)


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("0123456789+-*/=().,%$x is\n")), max_size=400))
def test_no_text_breaks_the_equations(text: str) -> None:
    for equation in equations(text):
        assert equation.text


COIN = (
    "A coin is heads up. Reza flips the coin. Juan Manuel does not flip the coin. Ash flips the coin. Tj flips the "
    'coin. Is the coin still heads up? Note that "flip" here means "reverse".'
)


def coin(rationale: str, prediction: str = "no") -> str | None:
    return check_text(rationale, question=COIN, prediction=prediction, answer_type="yes_no")


@pytest.mark.parametrize(
    "rationale",
    [
        "Reza flips the coin, so it's now tails up. \nJuan Manuel doesn't flip the coin, so it remains tails up. \n"
        "Ash flips the coin, so it's heads up again. \nTJ flips the coin, so it's tails up.",
        "Reza flips the coin. This means that the coin's state (heads up) is reversed. The coin is now tails up.",
        "Reza flips the coin. This means that if the coin was heads up, it is now tails up. Juan Manuel does not flip "
        "the coin. This means that the coin remains in the same state as it was after Reza flipped it.",
        "Reza, Ash and Tj flip the coin, which is 3 times. So the coin is not heads up.",
        "The coin was flipped 3 times, an odd number of times. So the coin is tails up.",
        "The coin starts heads up. Reza turns it from heads up to tails up.",
        "So the coin is tails up, since only Juan Manuel does not flip it.",
        "Is the coin still tails up? Let us see. If the coin is flipped an even number of times, it is heads up.",
        "Neither Ash nor Reza matters.",
        "Reza flips the coin. This means that the coin is now heads down. Juan Manuel does not flip it, so it stays "
        "heads side down.",
        "",
    ],
)
def test_sound_coin_flips_pass(rationale: str) -> None:
    assert coin(rationale) is None


@pytest.mark.parametrize(
    ("rationale", "told"),
    [
        ("Reza flips the coin, so it is still heads up.", "the coin is tails up then"),
        ("Reza does not flip the coin.", "Reza flips the coin"),
        ("Reza flips it. Juan Manuel flips it too.", "Juan Manuel does not flip the coin"),
        ("Reza flips the coin. The coin is now tails up. Juan Manuel does not. The coin is heads up.", "tails up then"),
        ("The coin is flipped an even number of times.", "the coin is flipped 3 times"),
        ("The coin was flipped twice.", "the coin is flipped 3 times"),
        ("The coin starts tails up. Reza flips it.", "the coin is heads up then"),
    ],
)
def test_unsound_coin_flips_are_found(rationale: str, told: str) -> None:
    found = coin(rationale)
    assert found
    assert found.startswith("step does not hold: says ")
    assert told in found


def test_a_coin_that_ends_otherwise_than_answered_contradicts_itself() -> None:
    assert coin("After all flips the coin is tails up.") is None
    found = coin("After all flips the coin is tails up.", "yes")
    assert found == "contradicts its answer: the coin ends tails up, answers yes"


LETTERS = 'Take the last letters of each words in "Andre Oralia Carrie Bruno" and concatenate them.'


def letters(rationale: str, prediction: str = "eaeo") -> str | None:
    return check_text(rationale, question=LETTERS, prediction=prediction, answer_type="letters")


@pytest.mark.parametrize(
    "rationale",
    [
        'The last letter of "Andre" is "e". The last letter of Oralia is a. "Carrie" ends in "e". Bruno: o\n',
        'The last letters of "Andre Oralia Carrie Bruno" are "e", "a", "e", and "o".',
        'The last letter of the first word is "e".\nThe last letter of the fourth word is "o".',
        'First, "Andre" ends with "e". Finally, for Bruno we get "o". Put together, they are "eaeo".',
        'The first letter of "Andre" is "A".',
        "Andre has many letters.",
        "The last letter of Oralia is a vowel.",
    ],
)
def test_sound_letters_pass(rationale: str) -> None:
    assert letters(rationale) is None


@pytest.mark.parametrize(
    ("rationale", "told"),
    [
        ('The last letter of "Andre" is "r".', 'says "r" for Andre; its last letter is "e"'),
        ("First, Andre: e\nThen, Oralia: i\n", 'says "i" for Oralia; its last letter is "a"'),
        ('The last letters of "Andre Oralia Carrie Bruno" are "e", "a", "a", and "o".', 'says "a" for Carrie'),
        ('The last letter of the third word is "a".', 'says "a" for Carrie'),
        ('The last letter of the fifth word is "a".', "there are 4 words"),
        ('Concatenating them gives "eaoe".', "contradicts its answer: makes eaoe, answers eaeo"),
    ],
)
def test_unsound_letters_are_found(rationale: str, told: str) -> None:
    found = letters(rationale)
    assert found
    assert told in found


MATCH = (
    "Alice, Bob, and Claire are on the same team in a soccer match. At the start of the match, they are each assigned "
    "to a position: Alice is playing goalkeeper, Bob is playing left winger, and Claire is playing left midfielder.\n"
    "As the game progresses, pairs of players occasionally swap positions. First, Alice and Claire trade positions. "
    "Then, Alice and Bob trade positions. Finally, Claire and Alice trade positions. At the end of the match, Bob is "
    "playing\nWhich choice is true? Answer choices: (A) goalkeeper, (B) left winger, (C) left midfielder."
)
POSITIONS = ["goalkeeper", "left winger", "left midfielder"]
SOUND = (
    "First, Alice and Claire trade positions. This means that Alice is now playing left midfielder, and Claire is now "
    "playing goalkeeper.\n\nThen, Alice and Bob trade positions. This means that at the end of this step, Alice is now "
    "playing left winger, and Bob is playing left midfielder.\n\nFinally, Claire and Alice trade positions. This means "
    "that Claire is now playing left winger.\n\nAt the end of the match, Bob is playing left midfielder."
)


def swaps(rationale: str, prediction: str = "C") -> str | None:
    return check_text(rationale, question=MATCH, prediction=prediction, answer_type="letter", choices=POSITIONS)


@pytest.mark.parametrize(
    "rationale",
    [
        SOUND,
        "At the start, Alice is playing goalkeeper and Bob is playing left winger. " + SOUND,
        "Alice and Claire trade. Alice and Bob trade. Claire and Alice trade. Now again: " + SOUND,
        "Alice swaps with Claire. Now Alice is playing left midfielder.",
        "Bob trades only once. At the end, Bob is playing left midfielder.",
    ],
)
def test_sound_swaps_pass(rationale: str) -> None:
    assert swaps(rationale) is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Bob is playing left midfielder.\n", "Bob is playing goalkeeper.\n", "Bob has left midfielder then"),
        ("Alice is now playing left midfielder", "Alice is now playing left winger", "Alice has left midfielder then"),
        ("Alice and Bob trade", "Bob and Claire trade", "no swap of Bob and Claire"),
        (
            "the match, Bob is playing left midfielder",
            "the match, Bob is playing goalkeeper",
            "Bob has left midfielder",
        ),
    ],
)
def test_unsound_swaps_are_found(old: str, new: str, told: str) -> None:
    assert old in SOUND
    found = swaps(SOUND.replace(old, new))
    assert found
    assert told in found


def number(rationale: str, prediction: str | None = "8") -> str | None:
    return check_text(rationale, question="How many?", prediction=prediction, answer_type="number")


def test_a_rationale_must_lead_to_its_answer() -> None:
    assert number("5 + 3 = 8.") is None
    assert number("5 + 3 = 8. The answer is 9.") == "contradicts its answer: says 9, answers 8"
    assert number("5 + 2 = 7.") == "does not reach its answer: 8 is not in the rationale"
    assert number("5 + 2 = 7, and one more makes eight.") is None
    assert number("He has some.") is None
    assert number("5 + 2 = 8.", None) == "step does not hold: 5 + 2 = 8"
    assert number("5 + 3 = 8.\nQ: What next?\nA: 1 + 1 = 3.") is None
    assert check_text("It is (B).", question="?", prediction="B", answer_type="letter", choices=["x", "y"]) is None
    said = check_text("The answer is (A).", question="?", prediction="B", answer_type="letter", choices=["x", "y"])
    assert said == "contradicts its answer: says A, answers B"


@pytest.mark.parametrize(
    "question",
    [
        *(COIN, LETTERS, MATCH),
        "A coin is heads up. Ann flips the coin. Ann does not flip the coin. Is the coin still heads up?",
    ],
)
@given(st.text(max_size=300), st.one_of(st.none(), st.text(max_size=5)))
def test_no_text_breaks_the_checks(question: str, text: str, prediction: str | None) -> None:
    for answer_type in ("number", "letter", "yes_no", "letters", "text"):
        kind: Any = answer_type
        found = check_text(text, question=question, prediction=prediction, answer_type=kind, choices=POSITIONS)
        assert found is None or ": " in found


@pytest.mark.parametrize(
    "piece",
    [
        "1 + ",
        "((((",
        "5 = ",
        '"a" ',
        "together ",
        "Alice and Bob swap ",
        "Reza flips ",
        "1 apple ",
        "not heads ",
        "x 2 ",
    ],
)
def test_time_is_linear_in_the_text(piece: str) -> None:
    def seconds(n: int) -> float:
        text, best = piece * (n // len(piece)), float("inf")
        for _ in range(3):
            started = time.perf_counter()
            for question in (COIN, LETTERS, MATCH):
                check_text(text, question=question, prediction="8", answer_type="number", choices=POSITIONS)
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds(8_000) < 40 * seconds(1_000) + 0.05  # 8 is linear, 64 quadratic


@pytest.mark.parametrize("task", ["coin_flip", "last_letter_concatenation", "tracking_shuffled_objects"])
def test_the_simulated_teacher_is_seen_through(task: str) -> None:
    """No sound rationale is called wrong, and every lucky one (right answer, wrong steps) is found."""
    questions = {
        "coin_flip": (COIN, "yes_no", []),
        "last_letter_concatenation": (LETTERS, "letters", []),
        "tracking_shuffled_objects": (MATCH, "letter", POSITIONS),
    }
    question, answer_type, choices = questions[task]
    kind: Any = answer_type
    puzzle, rng = recognise(question), Random(task)
    for i, lucky in enumerate((False, True) * 100):
        working = puzzle.attempt(Intent(right=True, lucky=lucky, same_mistake=i % 4 > 1), rng)
        text = puzzle.rationale(working, rng, sure=True)
        found = check_text(text, question=question, prediction=working.answer, answer_type=kind, choices=choices)
        assert bool(found) == lucky, (text, found)
