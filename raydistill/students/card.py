"""The model card in a student's folder: what it is, what it was taught, how to ask it, how well it answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import TeacherSettings
from raydistill.method.methods import UNTRAINED
from raydistill.runtime.store import Store
from raydistill.students.text import MARK, mark_of, prompt


def write(
    student: dict[str, Any], questions: pa.Table, predictions: pa.Table, teacher: TeacherSettings, store: Store
) -> None:
    """Put README.md into the folder of a STUDENTS row that this run trained, judged on its PREDICTIONS."""
    folder = f"students/{student['trial']}/model"
    config = store.read_text(f"{folder}/config.json")
    if student["method"] in UNTRAINED or config is None:
        return
    seq2seq = json.loads(config).get("is_encoder_decoder", False)
    source = {"api": f"{teacher.model} at {teacher.base_url}", "local": teacher.local.gguf or "SmolLM2-135M-Instruct"}
    label = source.get(teacher.kind, "the simulated teacher (a program, no model)")
    cost = _cost(student["task"], store, api=teacher.kind == "api")
    text = _card(student, questions, predictions, seq2seq=seq2seq, teacher=f"{label}{cost}")
    store.write_text(f"{folder}/README.md", text)


def _cost(task: str, store: Store, *, api: bool) -> str:
    """The calls that the task took, for all of its students, and what a paid teacher took for them, where known."""
    if store.manifest("ledger") is None:
        return ""
    spent = store.read("ledger").filter(pc.field("task") == task)
    calls = pc.sum(spent["calls"]).as_py()
    if not calls:
        return ""
    usd = "price unknown" if spent["usd"].null_count else f"${pc.sum(spent['usd']).as_py():,.4f}"
    return f", {calls:,} calls on the whole task" + (f", {usd}" if api else "")


def _card(student: dict[str, Any], questions: pa.Table, predictions: pa.Table, *, seq2seq: bool, teacher: str) -> str:
    question = questions["question"][0].as_py() if questions.num_rows else "{question}"
    asked = prompt(question, seq2seq=seq2seq)
    kind = "AutoModelForSeq2SeqLM" if seq2seq else "AutoModelForCausalLM"
    source = "no teacher: the answers of the data" if student["method"] == "vanilla" else f"teacher: {teacher}"
    thinks = mark_of(student["method"]) != ""
    answer = f"its reasoning, then `{MARK}` and the answer" if thinks else "the answer alone"
    scores = "\n".join(
        f"| {split} | {part.num_rows} | {_share(part, 'correct')} | {_share(part, 'published_correct')} | "
        f"{_share(part, 'has_answer_marker') if thinks else '–'} | {_share(part, 'stopped_at_eos')} |"
        for split in sorted(set(predictions["split"].to_pylist()))
        for part in [predictions.filter(pc.field("split") == split)]
    )
    chosen_on_test = json.loads(student["settings"]).get("checkpoint_selection") == "best_on_test"
    optimistic = "\nIts epoch was chosen on these questions of the split test, which is optimistic.\n" * chosen_on_test
    name = student["student"]
    if Path(name).expanduser().is_dir():
        name, base = Path(name).name, ""  # a folder's place is nobody's business, and no id of the hub
    else:
        base = "base_model: " + {"smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}.get(name, name) + "\n"
    return f"""---
library_name: transformers
pipeline_tag: {"text2text-generation" if seq2seq else "text-generation"}
{base}tags: [raydistill, distillation, chain-of-thought]
---
# {name} taught {student["task"]} ({student["method"]}, D={student["degree"]}, seed {student["seed"]})

Trained by raydistill on {student["train_rows"]} texts of the task {student["task"]}; method `{student["method"]}`;
{source}. {student["steps"]} steps, {student["train_tokens"]:,} tokens, {student["train_seconds"]:.0f} s.

## How to ask it
It writes {answer}. Prompt, exactly:

```python
from transformers import {kind}, AutoTokenizer
model, tokenizer = {kind}.from_pretrained("."), AutoTokenizer.from_pretrained(".")
prompt = {asked!r}
out = model.generate(**tokenizer(prompt, return_tensors="pt"), do_sample=False, max_new_tokens=256)
```

## How well it answers
| questions | n | accuracy | accuracy, published judge | has the mark | ended by itself |
|---|---|---|---|---|---|
{scores}
{optimistic}
Settings: `{student["settings"]}`
"""


def _share(table: pa.Table, column: str) -> str:
    return f"{100 * pc.mean(table[column].cast(pa.float64())).as_py():.1f} %"
