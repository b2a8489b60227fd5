"""Do the steps of a rationale hold? An answer filter cannot see bad reasoning; this reads the steps themselves.

Equations are worked out; coin flips, last letters and swaps are replayed from the question and compared with what the
rationale says on the way; and a rationale must not lead to another answer than its own. Only what is plainly said and
plainly wrong counts: wordings that are not understood pass.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction

from raydistill.method import answers
from raydistill.method.answer_types import AnswerType
from raydistill.method.equations import equations, numbers

LONGEST = 8_000
"""Characters of a rationale that are read; a longer one goes unchecked behind them."""


def check(
    rationale: str, *, question: str, prediction: str | None, answer_type: AnswerType, choices: Sequence[str] = ()
) -> str | None:
    """The first step of `rationale` that does not hold, as a reason; None where none was found.

    Args:
        rationale: the teacher's completion; what follows an invented next "Q:" does not count.
        question: the question, which coin flips, last letters and swaps are replayed from.
        prediction: the teacher's answer, canonical; None where it gave none.
        choices: option texts of a letter question.

    Returns:
        "step does not hold: <what was said>; <what is so>", "contradicts its answer: …" or "does not reach its answer:
        …" (equations that stop before it).
    """
    text = unicodedata.normalize("NFC", rationale.split("\nQ:")[0][:LONGEST])
    replayed = _coin(text, question, prediction)
    if replayed is None:
        replayed = _letters(text, question, prediction)
    if replayed is None:
        replayed = _swaps(text, question, choices)
    for fault in replayed or ():
        return fault
    found = list(equations(text))
    for equation in found:
        if equation.holds is False:
            return f"step does not hold: {equation.text}"
    if prediction is None:
        return None
    said = answers.find_in_rationale(text, answer_type=answer_type, choices=choices)
    if said and not answers.is_correct(said.answer, prediction, answer_type=answer_type):
        return f"contradicts its answer: says {said.answer}, answers {prediction}"
    if answer_type == "number" and found and not _mentions(text, prediction):
        return f"does not reach its answer: {prediction} is not in the rationale"
    return None


def _wrong(said: str, so: str) -> str:
    return f"step does not hold: says {said}; {so}"


def _sentences(text: str) -> list[str]:
    return [s for s in re.split(r"(?<=[.!?;])[\s\"”')]+|\n+", text) if s.strip()]


def _parts(sentence: str, names: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """(name, text up to the next name); what stands before the first name comes with the name ""."""
    at, name = 0, ""
    for match in names.finditer(sentence):
        yield name, sentence[at : match.start()]
        at, name = match.end(), match[0]
    yield name, sentence[at:]


def _any_of(words: Sequence[str]) -> str:
    """A pattern for one of `words` as a whole word; longer ones first."""
    return rf"(?<!\w)(?:{'|'.join(re.escape(w) for w in sorted(set(words), key=len, reverse=True))})(?!\w)"


# --- coin flips ------------------------------------------------------------------------------------------------------

_COIN_START = re.compile(r"\bcoin is (heads|tails) up", re.IGNORECASE)
_COIN_TURN = re.compile(
    r"(?:^|[.!?]\s+)([^.!?]+?) (?:(does not|doesn['’]t|did not|didn['’]t) (?:flip|reverse)"
    r"|(?:flips|flipped|reverses|reversed)) (?:the coin|it)\b",
    re.IGNORECASE,
)
_COIN_ASKED = re.compile(r"\bcoin (?:still )?(heads|tails) up\?", re.IGNORECASE)
_SIDE = re.compile(r"(\bnot (?:still )?|\bno longer |n['’]t (?:still )?)?\b(heads|tails)\b( (?:side )?down\b)?", re.I)
_STAYS = re.compile(
    r"(?:\b(?:does|did|do) not|\b(?:does|did|do)n['’]t|\bnot|\bnever)\b[^,.;]{0,20}?\b(?:flip|revers)", re.I
)
_FLIPS = re.compile(r"\b(?:flip(?:s|ped)?|revers(?:es|ed))\b", re.IGNORECASE)
_NOT_A_STEP = re.compile(
    r"\b(?:if|would|before|unless|neither|nobody|no one|whether|means? [\"“']"
    r"|state(?: \([^)]*\))? is (?:then |now )?(?:reversed|flipped|changed))|\?",
    re.IGNORECASE,
)
_FROM = re.compile(r"\bfrom (?:heads|tails)(?: up)?", re.IGNORECASE)
_PARITY = re.compile(r"\b(even|odd) number of (?:times|flips)|\bflipped (?:a total of )?(once|twice|\w+ times)", re.I)
_TIMES = {"once": 1, "twice": 2} | {
    f"{word} times": i
    for i, pair in enumerate(
        zip("0123456789", "zero one two three four five six seven eight nine".split(), strict=True)
    )
    for word in pair
}
_ENDS = re.compile(
    r"\b(?:so(?! now\b)|therefore|thus|hence|end(?! of (?:this|the) (?:step|swap|trade))|ends|finally|final|result"
    r"|after (?:all|every\w*))\b",
    re.IGNORECASE,
)


def _coin(text: str, question: str, prediction: str | None) -> Iterator[str] | None:
    """Faults of a coin-flip rationale; None where the question is none."""
    start, asked = _COIN_START.search(question), _COIN_ASKED.search(question)
    turns = [(m[1].strip(), not m[2]) for m in _COIN_TURN.finditer(question)]
    if not (start and asked and turns) or len({name for name, _ in turns}) < len(turns):
        return None
    sides = [start[1].lower()]
    for _, flips in turns:
        sides.append(_turned(sides[-1]) if flips else sides[-1])
    return _coin_faults(text, turns, sides, asked[1].lower(), prediction)


def _coin_faults(
    text: str, turns: list[tuple[str, bool]], sides: list[str], asked: str, prediction: str | None
) -> Iterator[str]:
    place = {name: i for i, (name, _) in enumerate(turns)}
    names = re.compile(_any_of(list(place)))
    reached, last_said = 0, ""
    for sentence in _sentences(text):
        if _NOT_A_STEP.search(sentence):
            continue
        named = False
        for name, part in _parts(sentence, names):
            possible = {sides[reached]}
            if name:
                named, i = True, place[name]
                stays, flips = _STAYS.search(part), _FLIPS.search(part)
                if (stays or flips) and bool(stays) == turns[i][1]:
                    so = "flips" if turns[i][1] else "does not flip"
                    yield _wrong(_short(name + part), f"{name} {so} the coin")
                # A name that comes again (a summary) may stand with the side of then or of now.
                possible = {sides[i + 1]} if i >= reached else {sides[i + 1], sides[reached]}
                reached = max(reached, i + 1)
            elif _ENDS.search(part) or (reached == 0 and not names.search(text)):
                possible.add(sides[-1])
            elif _STAYS.search(part) or _FLIPS.search(part):
                continue  # somebody's turn, but whose is not understood
            part = _FROM.sub("", part)
            # "not heads up", "heads down"
            said = [_turned(m[2].lower()) if bool(m[1]) != bool(m[3]) else m[2].lower() for m in _SIDE.finditer(part)]
            if said:
                last_said = said[-1]
                if last_said not in possible:
                    yield _wrong(_short(name + part), f"the coin is {sides[reached]} up then")
        count = _PARITY.search(sentence)
        flipped = sum(flips for _, flips in turns)
        if count and not named:
            right = (
                flipped % 2 == (count[1].lower() == "odd")
                if count[1]
                else _TIMES.get(count[2].lower()) in (None, flipped)
            )
            if not right:
                yield _wrong(count[0], f"the coin is flipped {flipped} times")
    if last_said and prediction in ("yes", "no") and (last_said == asked) != (prediction == "yes"):
        yield f"contradicts its answer: the coin ends {last_said} up, answers {prediction}"


def _turned(side: str) -> str:
    return "tails" if side == "heads" else "heads"


def _short(text: str) -> str:
    text = " ".join(text.split()).strip(" ,.;:")
    return text if len(text) <= 80 else text[:77] + "…"


# --- last letters ----------------------------------------------------------------------------------------------------

_LETTERS_ASKED = re.compile(r"last letters? of [^\"“]*[\"“]([^\"”]+)[\"”]", re.IGNORECASE)
_LETTER = re.compile(
    r"[\"“'‘](\w)[\"”'’]"  # quoted, or bare behind a word that brings one and before the end of a phrase
    r"|(?:\b(?:is|are|letter|with|in|get|gives?)\b|->|→|[:=])\s*\(?(\w)\)?(?=\s*(?:[.,;\n]|$|and\b))"
)
_BRINGS_LETTER = re.compile(r"\b(?:letters?|ends?|ending|get|gives?|is|are)\b|->|→|[:=]", re.IGNORECASE)
_OTHER_PLACE = re.compile(r"\b(?:first|second|third|fourth|middle) letter|\b(?:starts?|begins?) with", re.IGNORECASE)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_NTH_WORD = re.compile(rf"last letter of the ({'|'.join(_ORDINALS)}) (?:word|name)", re.IGNORECASE)
_PUTS_TOGETHER = re.compile(r"\b(?:concatenat|together|join|combin|form|make|one after)", re.IGNORECASE)
_QUOTED_WORD = re.compile(r"[\"“](\w\w+)[\"”]")


def _letters(text: str, question: str, prediction: str | None) -> Iterator[str] | None:
    """Faults of a last-letters rationale; None where the question is none."""
    asked = _LETTERS_ASKED.search(unicodedata.normalize("NFC", question))
    if not asked:
        return None
    words = [w for w in (re.sub(r"^\W+|\W+$", "", w) for w in asked[1].split()) if w]
    return _letter_faults(text, words, prediction) if words else None


def _letter_faults(text: str, words: list[str], prediction: str | None) -> Iterator[str]:
    pattern = re.compile(_any_of(words))
    for sentence in _sentences(text):
        if _OTHER_PLACE.search(sentence):
            continue
        brings = _BRINGS_LETTER.search(pattern.sub("", sentence))
        for word, part in _parts(sentence, pattern):
            said = [m[1] or m[2] for m in _LETTER.finditer(part)]
            if not word or not brings:
                continue
            if len(said) == 1 and said[0].casefold() != word[-1].casefold():
                yield _wrong(f'"{said[0]}" for {word}', f'its last letter is "{word[-1]}"')
            elif len(said) == len(words) > 1 and word == words[-1]:
                for letter, of in zip(said, words, strict=True):
                    if letter.casefold() != of[-1].casefold():
                        yield _wrong(f'"{letter}" for {of}', f'its last letter is "{of[-1]}"')
        nth = _NTH_WORD.search(sentence)
        said = [m[1] or m[2] for m in _LETTER.finditer(sentence, nth.end())] if nth else []
        if nth and len(said) == 1:
            i = _ORDINALS.index(nth[1].lower())
            if i >= len(words):
                yield _wrong(_short(nth[0]), f"there are {len(words)} words")
            elif said[0].casefold() != words[i][-1].casefold():
                yield _wrong(f'"{said[0]}" for {words[i]}', f'its last letter is "{words[i][-1]}"')
        made = _QUOTED_WORD.findall(pattern.sub("", sentence)) if _PUTS_TOGETHER.search(sentence) else []
        if made and prediction and made[-1].casefold() != prediction.casefold():
            yield f"contradicts its answer: makes {made[-1]}, answers {prediction}"


# --- shuffled objects ------------------------------------------------------------------------------------------------

_SWAP = re.compile(r"(?<!\w)(\w+) and (\w+) (?:\w+ )?(?:swap|trade|switch|exchange)\w*", re.IGNORECASE)
_SWAP_WORD = re.compile(r"\b(?:swap|trad|switch|exchang)\w*", re.IGNORECASE)
_HOLDS = r"(?:has|gets|holds|owns|is (?:now |still |again |currently )?\w+ing(?: with)?|ends up (?:\w+ )?with|receives)"
_THE_START = re.compile(r"\b(?:start|begin|beginning|begins|initial|initially|originally)\b", re.IGNORECASE)


def _swaps(text: str, question: str, choices: Sequence[str]) -> Iterator[str] | None:
    """Faults of a rationale about swapped objects; None where the question is none."""
    swaps = [(m[1], m[2]) for m in _SWAP.finditer(question)]
    if not swaps or len(choices) < 2:
        return None
    things = {_bare(choice): choice for choice in choices}
    names = sorted({name for pair in swaps for name in pair})
    claim = _claim(names, list(things))
    holds = {m[1]: _bare(m[2]) for m in claim.finditer(question[: _SWAP.search(question).start()])}  # type: ignore[union-attr]
    if len(holds) < 2 or not {*names} <= holds.keys():
        return None
    states = [holds]
    for a, b in swaps:
        now = states[-1]
        states.append(now | {a: now[b], b: now[a]})
    return _swap_faults(text, swaps, states, claim)


def _claim(names: Sequence[str], things: Sequence[str]) -> re.Pattern[str]:
    """`name has the thing`, with up to three words between ("now", "still", "swaps and")."""
    return re.compile(
        rf"({_any_of(names)})(?: (?:now|then|still|also|again|currently|therefore))? {_HOLDS}"
        rf"(?: (?:now|left with))? (?:the |an? )?({_any_of(things)})",
        re.IGNORECASE,
    )


def _swap_faults(
    text: str, swaps: list[tuple[str, str]], states: list[dict[str, str]], claim: re.Pattern[str]
) -> Iterator[str]:
    at, sure = 0, True
    for sentence in _sentences(text):
        if re.search(r"\b(?:if|would|before|who|which choice)\b|\?", sentence, re.IGNORECASE):
            sure = sure and not _SWAP_WORD.search(sentence)
            continue
        pairs = [m for m in _SWAP.finditer(sentence) if {m[1], m[2]} <= states[0].keys()]
        if _SWAP_WORD.search(sentence) and not pairs:
            sure = False  # a swap told in other words: which one is not known
        for match in sorted([*pairs, *claim.finditer(sentence)], key=lambda m: m.start()):
            name, other = match[1], match[2]
            if match.re is _SWAP:
                later = [i for i, pair in enumerate(swaps) if {*pair} == {name, other}]
                if not later:
                    yield _wrong(_short(match[0]), f"the question has no swap of {name} and {other}")
                    continue
                # The next such swap; behind the last one, the tale begins anew.
                at = next((i for i in later if i >= at), later[0]) + 1
                continue
            possible = [states[0] if _THE_START.search(sentence) and not pairs else states[at]]
            if not sure:
                possible = states
            elif _ENDS.search(sentence) and not pairs:
                possible.append(states[-1])
            if all(state.get(name, _bare(other)) != _bare(other) for state in possible):
                yield _wrong(_short(match[0]), f"{name} has {possible[0][name]} then")


def _bare(thing: str) -> str:
    return re.sub(r"^(?:the|an?) ", "", thing.strip().lower())


# --- numbers ---------------------------------------------------------------------------------------------------------


def _mentions(text: str, prediction: str) -> bool:
    """The number stands in the text, in digits (also as a percentage, or with its sign lost) or in words."""
    try:
        wanted = abs(Fraction(prediction))
    except (ValueError, ZeroDivisionError):
        return True
    found = numbers(text)
    if found & {wanted, wanted * 100, wanted / 100} or any(abs(n - wanted) < Fraction(1, 100) for n in found):
        return True
    in_words = (answers.extract(word, answer_type="number") for word in re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower()))
    return any(word is not None and abs(Fraction(word)) == wanted for word in in_words)
