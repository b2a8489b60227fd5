"""What a call may take, before and after replies have stated something."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raydistill.teacher.limits.tokens import MARGIN, TokenRatios, expected_tokens


@given(st.text(max_size=400))
def test_the_most_is_never_below_what_is_expected(prompt: str) -> None:
    assert TokenRatios().most_prompt_tokens(prompt) >= expected_tokens(prompt)


@given(st.text(alphabet="算术题苹果三五", min_size=1, max_size=3000))
def test_characters_beyond_ascii_count_as_their_bytes_until_replies_state_it(prompt: str) -> None:
    assert TokenRatios().most_prompt_tokens(prompt) >= len(prompt.encode())


def test_the_highest_ratio_seen_counts_with_a_margin() -> None:
    ratios = TokenRatios()
    ratios.learn("a" * 100, 30, 64, 64)
    ratios.learn("a" * 100, 20, 10, 64)
    assert 30 * MARGIN <= ratios.most_prompt_tokens("b" * 100) <= 30 * MARGIN + 16
    ratios.learn("三" * 100, 150, 10, 64)
    assert 150 * MARGIN <= ratios.most_prompt_tokens("五" * 100) <= 150 * MARGIN + 16
    assert ratios.most_prompt_tokens("b" * 100) <= 30 * MARGIN + 16  # English prompts are reserved as before


def test_what_a_mixed_prompt_states_is_of_its_characters_beyond_ascii() -> None:
    ratios = TokenRatios()
    ratios.learn("a" * 100 + "三" * 100, 25 + 150, 10, 64)  # a quarter of a token each is ASCII's, until it is stated
    assert ratios.ascii == 0
    assert 150 * MARGIN <= ratios.most_prompt_tokens("五" * 100) <= 150 * MARGIN + 16
    ratios.learn("a" * 100, 50, 10, 64)
    ratios.learn("a" * 100 + "三" * 100, 50 + 200, 10, 64)
    assert 200 * MARGIN <= ratios.most_prompt_tokens("五" * 100) <= 200 * MARGIN + 16


def test_a_server_that_ignores_the_completion_limit_is_reserved_for() -> None:
    ratios = TokenRatios()
    assert ratios.most_completion_tokens(100) == 100
    ratios.learn("a", 1, 50, 100)
    assert ratios.most_completion_tokens(100) == 100  # never less than allowed
    ratios.learn("a", 1, 330, 100)
    assert ratios.most_completion_tokens(100) >= 330 * MARGIN
    others = TokenRatios()
    others.take_in(ratios)
    assert others.most_completion_tokens(100) == ratios.most_completion_tokens(100)
