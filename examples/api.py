"""raydistill from Python: build the settings, run, look at the tables. Works the same cell by cell in a notebook.

python examples/api.py
"""

from __future__ import annotations

import pyarrow.compute as pc

import raydistill


def settings(run_dir: str, model: str, n_train: int) -> raydistill.Settings:
    """Return the settings of a small run; each value that is not named keeps its default."""
    return raydistill.Settings.model_validate(
        {
            "run_dir": run_dir,
            "local": True,  # train in this process
            "questions": {
                "tasks": ["coin_flip"],
                "source": "generated",
                "generated_size": 3 * n_train,
                "limit_train": n_train,
                "limit_test": n_train // 3,
            },
            "teacher": {"kind": "simulated"},
            "curation": {"check_steps": True},
            "students": {
                "models": [model],
                "methods": ["vanilla", "fine_tune_cot"],
                "num_train_epochs": 1,
                "max_new_tokens": 64,
            },
        }
    )


def main(run_dir: str = "runs/api", model: str = "smollm2-135m", n_train: int = 90) -> None:
    """Run the pipeline and print what its tables say."""
    result = raydistill.run(settings(run_dir, model, n_train))
    print(result)  # a notebook shows the results as a table, with a link to the report

    results = result.tables["results"]
    for row in results.select(["student", "method", "split", "n", "accuracy"]).to_pylist():
        print(row)

    training = result.tables["training"]
    dropped = training.filter(pc.invert(training["kept"]))
    print(f"{training.num_rows} candidates, {dropped.num_rows} dropped")


if __name__ == "__main__":
    main()
