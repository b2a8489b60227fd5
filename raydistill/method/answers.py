"""The judge: what a text answers, whether that is right, and whether a rationale already holds its answer.

Two judges. `baseline` follows the published rules of Fine-tune-CoT (Ho et al. 2023) to the letter, defects included, so
that accuracies compare with the literature. `robust` reads what a person would read ("thirty-seven", "1/4", "n-a-e-y",
"Alice has the blue ball"), and says None where a text names two answers.

All functions take any text, never raise on it and work in linear time: expressions have no nested repetition, and the
robust judge reads at most `LONGEST_ANSWER` characters of an answer.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from raydistill.method.answer_types import AnswerType

ExtractionRules = Literal["robust", "published"]

LONGEST_ANSWER = 2_000
"""Characters of an answer that the robust judge reads (NFC is quadratic on runs of combining marks)."""

LONGEST_LEAD_IN = 80
"""Characters before "answer is" that are searched for "Therefore, the" and the like."""

TOLERANCE = 1e-6
"""Numbers closer than this are equal (Ho et al. 2023)."""


class Contained(NamedTuple):
    """An answer found in a rationale, so that no second call is needed."""

    answer: str
    """The answer, canonical."""
    answer_text: str
    """What it was read from: the text behind "the answer is"."""
    rationale: str
    """The completion without the answer sentence and without an invented next question."""


def extract(
    text: str,
    *,
    answer_type: AnswerType,
    choices: Sequence[str] = (),
    rules: ExtractionRules = "robust",
    task: str = "",
    prefix: str = "",
) -> str | None:
    """Read the answer out of an answer text (the completion of a second call), canonical; None: no or no single answer.

    Args:
        choices: option texts of a letter question in order A, B, …; letters beyond the last are no answers.
        task: benchmark name; the baseline judge treats multiarith, date_understanding and tracking specially.
        prefix: baseline judge only: candidates count from behind the first `prefix` on ("The answer is" for a few-shot
            completion); where the text lacks it, the last candidate counts instead of the first.
    """
    if rules == "published":
        return _baseline(text, answer_type, choices, task, prefix)
    text = _cut(text)
    spans = _answer_spans(text)
    return _candidate(text[slice(*spans[-1][1:])] if spans else text, answer_type, choices, strict=False)


def find_in_rationale(
    text: str, *, answer_type: AnswerType, choices: Sequence[str] = (), finish_reason: str = "stop"
) -> Contained | None:
    """Find the answer in a rationale, so that the second call can be saved (adaptive answers, Li et al. 2024, 2.3).

    Only an explicit answer sentence counts, with exactly one answer, not contradicted by an earlier one, and not
    possibly cut off by the token limit (`finish_reason` "length"). A bare last number would be wrong every fifth time.
    """
    body = _cut(text)
    spans = _answer_spans(body)
    if not spans:
        return None
    begin, start, end = spans[-1]
    tail = body[start:end]
    answer = _candidate(tail, answer_type, choices, strict=True)
    if answer is None:
        return None
    for earlier_tail in {body[s:e] for _, s, e in spans[:-1]}:
        earlier = _candidate(earlier_tail, answer_type, choices, strict=True)
        if earlier is not None and not _same(earlier, answer, answer_type):
            return None
    if finish_reason == "length" and end == len(text) and tail[-1:] not in (" ", "."):
        # The last word may be a torso: the answer must not depend on it.
        whole_words = tail.rsplit(None, 1)[0] if len(tail.split()) > 1 else ""
        if _candidate(whole_words, answer_type, choices, strict=True) != answer:
            return None
    reasoning = _closed(body[: _clause_begin(body, begin)])
    rest = body[_sentence_end(body, start, len(body)) :].strip(" \t*_`")
    return Contained(answer, tail.strip(), clean_rationale(f"{reasoning} {rest}"))


def clean_rationale(text: str) -> str:
    """The reasoning alone: cut at an invented next "Q:" or "END", closing answer sentences removed, outer space off."""
    text = _cut(text).strip()
    end = len(text)
    for begin, start, _ in reversed(_answer_spans(text)):
        if _sentence_end(text, start, end) < end:
            break
        end = _clause_begin(text, begin)
    return text if end == len(text) else _closed(text[:end])


def student_answer(
    completion: str,
    *,
    answer_type: AnswerType,
    choices: Sequence[str] = (),
    rules: ExtractionRules = "robust",
    task: str = "",
    mark: str = "-->",
) -> tuple[str | None, bool]:
    """Read a student's completion; returns the prediction and whether it has the mark that its training text has.

    Behind the first `mark` (up to a second) stands the answer. Without the mark, the baseline judge takes the last
    candidate of the whole text, the robust judge an answer sentence or else the last sentence (never letters of the
    rationale's body: in tracking they agree with the gold by chance only). `mark` "" (trained on answers alone): the
    text is the answer.
    """
    formatted = mark in completion
    if rules == "published":
        return _baseline(completion, answer_type, choices, task, mark), formatted
    text = _cut(completion)
    if mark in text:
        text = text.split(mark, 2)[1] if mark else text
    elif not _answer_spans(text):
        text = _SENTENCES.split(text.strip()[-LONGEST_ANSWER:])[-1]
    return extract(text, answer_type=answer_type, choices=choices, task=task), formatted


def is_correct(
    prediction: str | None, gold: str, *, answer_type: AnswerType, rules: ExtractionRules = "robust", task: str = ""
) -> bool:
    """Compare with the gold answer. None is wrong; numbers may differ by `TOLERANCE`, letters by case.

    The baseline judge compares strings, and numbers of all tasks but multiarith.
    """
    if prediction is None:
        return False
    if rules == "robust":
        return _same(prediction, gold, answer_type)
    if answer_type != "number":
        return prediction == gold
    gold = gold.replace(",", "")
    if task == "multiarith":
        return prediction == gold
    a, b = _float(prediction), _float(gold)
    return a is not None and b is not None and abs(a - b) <= TOLERANCE


def canonical(answer: str, answer_type: AnswerType) -> str:
    """An answer in the form that exemplars and predictions use: "43.0" → "43", "(b)" → "B", "Yes" → "yes".

    Of a text counts the first sentence. An answer that is not of its type comes back stripped and otherwise as it is.
    """
    if answer_type == "text":
        return next(iter(_text(answer, ())), "")
    if answer_type == "letter":
        bare = answer.strip(" ().")
        return bare.upper() if re.fullmatch("[A-Za-z]", bare) else answer.strip()
    return _candidate(answer, answer_type, (), strict=True) or answer.strip()


# --- the published rules (Ho et al. 2023) --------------------------------------------------------------------------


def _baseline(text: str, answer_type: AnswerType, choices: Sequence[str], task: str, prefix: str) -> str | None:
    if not prefix:
        found = _baseline_candidates(text, answer_type, choices, task)
        return found[0] if found else None
    before, mark, after = text.partition(prefix)
    found = _baseline_candidates(after if mark else before, answer_type, choices, task)
    return found[0 if mark else -1] if found else None


def _baseline_candidates(text: str, answer_type: AnswerType, choices: Sequence[str], task: str) -> list[str]:
    if answer_type == "number":
        numbers = re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))
        return numbers if task == "multiarith" else [_number_text(n) for n in numbers]
    if answer_type == "letter":
        count = {"date_understanding": 6}.get(task) or len(choices) or {"tracking_shuffled_objects": 3}.get(task, 26)
        return re.findall(f"[A-{chr(ord('A') + min(count, 26) - 1)}]", text)
    if answer_type == "yes_no":
        return [word for word in re.sub(r"[\"'\n.\s:,]", " ", text.lower()).split() if word in ("yes", "no")]
    rest = re.sub(r"[\"'\n.\s]", "", text) if answer_type == "letters" else text.strip()
    return [rest] if rest else []


def _number_text(number: str) -> str:
    """Canonical text of a plain decimal; digits are kept (no rounding through float)."""
    if number.isascii() and number.isdigit():
        return number.lstrip("0") or "0"
    value = _float(number)
    if value is None:
        return number
    text = f"{Decimal(number):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


# --- the robust reader ---------------------------------------------------------------------------------------------

_RUN_ON = re.compile(r"\nQ:|\bEND\b")
# `[^()\n]` rather than `[^)]`: a text of nothing but "answer (" must not be scanned anew from each of them.
_TRIGGER = re.compile(r"\banswer(?: \([^()\n]*\))?(?: would be| will be| is|:| =)", re.IGNORECASE)
# What leads up to "answer is" and goes with it when the sentence is taken out.
_LEAD_IN = re.compile(
    r"(?:\b(?:the|final|correct|my|our|so|therefore|thus|hence|then|and|finally|in conclusion|i think|that|this means"
    r"|we can conclude|among [A-Z] through [A-Z])\b[\s,:]*)+$",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]*_`$]*(?=\s+[^\W\d_a-z]|\s*$)|\n")


def _cut(text: str) -> str:
    """Without what the model went on to invent after its answer."""
    found = _RUN_ON.search(text)
    return text[: found.start()] if found else text


def _answer_spans(text: str) -> list[tuple[int, int, int]]:
    """(begin, start, end) of each answer sentence: begin of "answer is"; the answer lies in text[start:end].

    The answer reaches to the end of its line (or to the next trigger); where that is blank, of the next line with text.
    """
    triggers = [(found.start(), found.end()) for found in _TRIGGER.finditer(text)]
    limits = [*(begin for begin, _ in triggers), len(text)][1:]
    spans = []
    for (begin, start), limit in zip(triggers, limits, strict=True):
        end = text.find("\n", _first_word(text, start, limit), limit)  # past "The answer is:\n\n**42**"
        spans.append((begin, start, limit if end < 0 else end))
    return spans


def _first_word(text: str, start: int, end: int) -> int:
    while start < end and not text[start].isalnum():
        start += 1
    return start


def _sentence_end(text: str, start: int, end: int) -> int:
    found = _SENTENCE_END.search(text, _first_word(text, start, end), end)
    return found.end() if found else end


def _clause_begin(text: str, begin: int) -> int:
    """Where the clause of a trigger at `begin` starts, its "Therefore, " included; a reason given before it stays."""
    lead_in = _LEAD_IN.search(text, max(0, begin - LONGEST_LEAD_IN), begin)
    end = lead_in.start() if lead_in else begin
    while end and (text[end - 1].isspace() or text[end - 1] in "*_#`"):
        end -= 1
    return end


def _closed(text: str) -> str:
    """`text` as a sentence, after its end was cut off."""
    text = text.strip()
    if text.endswith((",", ";", ":")):
        return text[:-1].rstrip() + "."
    return text + "." if text and text[-1].isalnum() else text


def _plain(text: str) -> str:
    """The answer text without typography: NFC, plain minus, no markdown, no currency signs, no LaTeX boxes."""
    text = unicodedata.normalize("NFC", text[:LONGEST_ANSWER])
    text = re.sub(r"[\u2010-\u2015\u2212\ufe63\uff0d](?=[\d.$])", "-", text)
    text = re.sub(r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}", r" \1/\2", text)
    for _ in range(2):  # \boxed{\text{B}}
        text = re.sub(r"\\(?:boxed|text|textbf|mathrm)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"[*_`]{2,}|(?<!\w)[*_`]|[*_`](?!\w)", "", text)
    return re.sub(r"[$€£¥]", "", text).strip()


def _candidate(text: str, answer_type: AnswerType, choices: Sequence[str], *, strict: bool) -> str | None:
    """The one answer in `text`; not strict: or the one of its first sentence, where others explain it ("8. He …")."""
    text, read = _plain(text), _READERS[answer_type]
    found = read(text, choices)
    if len(found) > 1 and not strict:
        first, *rest = _SENTENCES.split(text, maxsplit=1)
        found = read(first, choices) if rest and re.search(r"[^\W\d_]{2}", rest[0]) else found
    return found[0] if len(found) == 1 else None


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)"
_NUMBER = re.compile(
    rf"(?<![\w.])(?P<sign>(?<![^\s(=:\[,])[-+])?(?:"
    rf"(?:(?P<whole>\d+)[ -])?(?P<top>\d+) ?/ ?(?P<bottom>\d+)(?![\d/])"
    rf"|(?P<plain>{_DIGITS}(?:\.\d+)?|\.\d+)(?P<exponent>[eE][-+]?\d{{1,2}}\b)?(?::\d\d)?)"
    rf"(?: (?P<scale>hundred|thousand|million)\b)?",
    re.ASCII | re.IGNORECASE,
)
_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_WORD_VALUES = {w: v for v, w in enumerate(_ONES + _TEENS)} | {w: 20 + 10 * i for i, w in enumerate(_TENS)}
_SMALL = rf"(?:(?:{'|'.join(_TENS)})(?: (?:{'|'.join(_ONES[1:])}))?|{'|'.join(_TEENS)}|{'|'.join(_ONES)})\b"
_GROUP = rf"(?:(?:{_SMALL}|a) hundred\b(?: (?:and )?{_SMALL})?|{_SMALL})"
_NUMBER_WORDS = re.compile(
    rf"\b(?:{_GROUP}|a(?= thousand| million))(?: (?:thousand|million)\b(?:(?: and)? {_GROUP})?)*"
)


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _numbers(text: str, choices: Sequence[str]) -> list[str]:
    text = text.rpartition("=")[2]
    found = [number for match in _NUMBER.finditer(text) if (number := _number(match)) is not None]
    if not found:  # words only where there are no digits: "5 apples for the one who …"
        words = re.sub(r"[\s,-]+", " ", text.lower())
        found = [_word_value(match[0]) for match in _NUMBER_WORDS.finditer(words)]
    return _distinct(found, float)


def _number(match: re.Match[str]) -> str | None:
    sign = match["sign"] or ""
    if match["bottom"]:
        top, bottom = float(match["top"]), float(match["bottom"])
        value = float(match["whole"] or 0) + top / bottom if bottom else math.nan
        text = f"{sign}{value!r}"
    else:
        text = sign + match["plain"].replace(",", "") + (match["exponent"] or "")
    if match["scale"]:
        text = repr(float(text) * _SCALES[match["scale"].lower()])
    return _number_text(text) if math.isfinite(float(text)) else None


def _word_value(words: str) -> str:
    total = group = 0
    for word in words.split():
        if word == "hundred":
            group = max(group, 1) * 100
        elif word in _SCALES:
            total, group = total + max(group, 1) * _SCALES[word], 0
        else:
            group += _WORD_VALUES.get(word, 0)
    return str(total + group)


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NUMERIC_DATE = re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{4})\b", re.ASCII)
_WORD_DATE = re.compile(rf"\b({'|'.join(_MONTHS)})[a-z]*\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})\b", re.ASCII)


def _letters_of_choice(text: str, choices: Sequence[str]) -> list[str]:
    last = chr(ord("A") + min(len(choices) or 26, 26) - 1)
    named = [m.upper() for m in re.findall(r"\(([A-Za-z])\)", text)]
    # A capital alone, not the article or the pronoun ("A blue ball", "I think").
    bare = re.findall(r"(?<![\w'’])(?![AI]\s+[a-z])([A-Z])(?![\w'’])", text)
    for letters in (named, bare):
        if valid := [letter for letter in letters if letter <= last]:
            return _distinct(valid)
    plain = _option_text(text)
    hits = {i: option for i, c in enumerate(choices) if (option := _option_text(c)) and _has_words(plain, option)}
    # "ball" is no answer of its own inside "blue ball".
    return [
        chr(ord("A") + i)
        for i, option in hits.items()
        if not any(option != other and option in other for other in hits.values())
    ]


def _option_text(text: str) -> str:
    """For comparison: lower case, single spaces, dates as MM/DD/YYYY (month first, never guessed otherwise)."""
    text = " ".join(text.lower().split())
    text = _WORD_DATE.sub(lambda m: f"{_MONTHS.index(m[1]) + 1:02}/{int(m[2]):02}/{m[3]}", text)
    return _NUMERIC_DATE.sub(lambda m: f"{int(m[1]):02}/{int(m[2]):02}/{m[3]}", text).strip(" .")


def _has_words(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


def _yes_no(text: str, choices: Sequence[str]) -> list[str]:
    """The first of the words, since "Yes, it is no longer …" is a yes; "either yes or no" is neither."""
    text = re.sub(r"\b(?:yes ?(?:or|/) ?no|no ?(?:or|/) ?yes)\b", "", text, flags=re.IGNORECASE)
    found = re.search(r"\b(yes|no)\b", text, re.IGNORECASE)
    return [found[1].lower()] if found else []


_QUOTED = re.compile(r"(?<!\w)[\"'“‘«]([^\"'“”‘’«»\n]+)[\"'”’»]")
_SPELLED = re.compile(r"[\W_]*([^\W\d_](?:[\s,./-]+[^\W\d_])+)(?!\w)")


def _letter_word(text: str, choices: Sequence[str]) -> list[str]:
    found = _QUOTED.search(text) or _SPELLED.match(text)
    tokens = [found[1]] if found else text.split()
    words = ("".join(filter(str.isalpha, token)) for token in tokens)
    return [word for word in words if word][:1]


_ABBREVIATED = re.compile(
    r"\b(?:\w|mrs?|ms|dr|st|mt|ft|jr|sr|vs|prof|gen|col|sgt|rev|capt|gov|sen|rep|hon|inc|ltd|co|corp|bros|vol)\.$", re.I
)


def _text(text: str, choices: Sequence[str]) -> list[str]:
    """The first sentence with words: "Paris. It is the capital." answers Paris, "St. Louis." answers St. Louis."""
    for line in text.splitlines():
        line = " ".join(line.split())
        ends = (
            m.end() for m in _SENTENCE_END.finditer(line) if not _ABBREVIATED.search(line, max(0, m.end() - 8), m.end())
        )
        if sentence := line[: next(ends, len(line))].strip(" .:;,!?\"'“”‘’"):
            return [sentence]
    return []


def _distinct(values: Iterable[str], key: Callable[[str], object] = str) -> list[str]:
    return list({key(value): value for value in reversed(list(values))}.values())[::-1]


_READERS: dict[AnswerType, Callable[[str, Sequence[str]], list[str]]] = {
    "number": _numbers,
    "letter": _letters_of_choice,
    "yes_no": _yes_no,
    "letters": _letter_word,
    "text": _text,
}


def _same(prediction: str, gold: str, answer_type: AnswerType) -> bool:
    if answer_type != "number":
        return canonical(prediction, answer_type).casefold() == canonical(gold, answer_type).casefold()
    a, b = (_float(number) or _float(canonical(number, "number")) for number in (prediction, gold))
    return a is not None and b is not None and abs(a - b) <= TOLERANCE
