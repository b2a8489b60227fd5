"""The prompts, character by character."""

from raydistill.method import prompts

EXEMPLAR = {"question": "Q1?", "rationale": "First,\n\nit is 3.", "answer": "3"}


def test_zero_shot() -> None:
    assert prompts.zero_shot("How many?") == "Q: How many?\nA: Let's think step by step."


def test_answer_call_keeps_the_leading_space_of_the_rationale() -> None:
    generic = "Q: How many?\nA: Let's think step by step. First 3.\nTherefore, the answer is"
    assert prompts.answer_call("How many?", " First 3.", task="addsub") == generic
    assert prompts.answer_call("How many?", "First 3.", task="addsub") == generic
    assert prompts.answer_call("Q", "\nFirst 3.", task="addsub") == (
        "Q: Q\nA: Let's think step by step.\nFirst 3.\nTherefore, the answer is"
    )


def test_triggers_per_dataset() -> None:
    expected = {
        "single_eq": "\nTherefore, the answer (arabic numerals) is",
        "addsub": "\nTherefore, the answer (arabic numerals) is",
        "multiarith": "\nTherefore, the answer (arabic numerals) is",
        "svamp": "\nTherefore, the answer (arabic numerals) is",
        "date_understanding": "\nTherefore, among A through F, the answer is",
        "tracking_shuffled_objects": "\nTherefore, among A through C, the answer is",
        "coin_flip": "\nTherefore, the answer (Yes or No) is",
        "last_letter_concatenation": "\nTherefore, the answer is",
        "custom": "\nTherefore, the answer is",
    }
    for task, trigger in expected.items():
        prompt = prompts.answer_call("Q", " R.", task=task, trigger="per_dataset")
        assert prompt == f"Q: Q\nA: Let's think step by step. R.{trigger}"
    five = prompts.answer_call(
        "Q", " R.", task="tracking_shuffled_objects", trigger="per_dataset", choices=["a", "b", "c", "d", "e"]
    )
    assert five.endswith("\nTherefore, among A through E, the answer is")


def test_few_shot() -> None:
    block = prompts.exemplar_block([EXEMPLAR, EXEMPLAR | {"rationale": "Let's think step by step. It is 3."}])
    assert prompts.few_shot(block, "Q3?") == (
        "Q: Q1?\nA: Let's think step by step. First, it is 3. The answer is 3.\n\n"
        "Q: Q1?\nA: Let's think step by step. It is 3. The answer is 3.\n\n"
        "Q: Q3?\nA: Let's think step by step."
    )
    assert prompts.few_shot(prompts.exemplar_block([]), "Q3?") == prompts.zero_shot("Q3?")
