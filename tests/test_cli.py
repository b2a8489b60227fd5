"""Settings: YAML, overrides, and errors that name the setting."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raydistill import cli
from raydistill.config import Settings
from raydistill.runtime.errors import BudgetReached, SettingsError, UserError

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "raydistill" / "configs").glob("*.yaml"))


def parse(*argv: str) -> Settings:
    return cli.parse(list(argv), "test")[0]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_is_valid_and_is_found_by_name(path):
    assert parse(str(path)) == parse(path.stem)


def test_overrides_reach_every_level_and_leave_the_rest(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("seed: 3\nteacher: {model: m, price: {input: 1, output: 2}}\n")
    got = parse(
        str(file),
        "--teacher.model",
        "gpt-x",
        "--teacher.price.output=2.5",
        "--students.num_train_epochs",
        "2",
        "--local",
    )
    assert (got.seed, got.teacher.model, got.students.num_train_epochs, got.local) == (3, "gpt-x", 2, True)
    assert got.teacher.price is not None
    assert (got.teacher.price.input, got.teacher.price.output) == (1, 2.5)


def test_a_price_in_the_file_may_be_switched_off_from_the_command_line(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("teacher: {max_usd: 3}\n")
    assert parse(str(file), "--budget-usd", "null").teacher.budget_usd is None


def test_a_date_is_a_name():
    assert parse("--run_dir", "2026-10-01").run_dir == "2026-10-01"


def test_shorthands_dashes_lists_and_switches():
    settings, on = cli.parse(
        ["--local", "quickstart", "--teacher", "api", "--budget-usd", "5", "--students.models", "t5-small", "--dry"],
        "test",
        {"dry": "do nothing"},
    )
    assert on == {"dry"}
    assert settings.local
    assert settings.teacher.kind == "api"
    assert settings.teacher.budget_usd == 5
    assert settings.students.models == ["t5-small"]
    assert parse("--students.models", "[t5-small, gpt2]", "--run-dir", "x").students.models == ["t5-small", "gpt2"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--teacher.modle", "x"], ["--teacher.modle", "--teacher.model"]),
        (["--students.num_train_epochs", "many"], ["students.num_train_epochs", "integer", "many"]),
        (["--teacher", "oracle"], ["teacher.kind", "simulated", "oracle"]),
        (["--teacher.max_failure_rate", "2"], ["teacher.max_failure_rate", "less than or equal to 1"]),
        (["--questions.tasks", "[coin_flop]"], ["questions.tasks", "coin_flip"]),
        (["--questions.file", "x.csv"], ["questions.answer_type"]),
        (["--teacher.base_url", "api.openai.com"], ["teacher.base_url", "https://"]),
        (["--teacher.model"], ["teacher.model", "expected one argument"]),
        (["nowhere.yaml"], ["nowhere.yaml", "quickstart"]),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(argv, said):
    with pytest.raises(SettingsError) as error:
        parse(*argv)
    for text in said:
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("teacher: {modle: x}", ["teacher.modle", "model"]),
        ("teacher: [1", ["not YAML", "line"]),
        ("- a\n- b", ["no mapping"]),
    ],
)
def test_a_wrong_file_is_named_with_what_is_allowed(tmp_path, text, said):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        parse(str(file))
    for part in [*said, str(file)]:
        assert part in str(error.value)


@given(st.text(max_size=60))
def test_no_value_crashes_the_parser(text):
    try:
        got = parse(f"--teacher.model={text}")
    except SettingsError:
        return  # YAML may make a number or a list of it: refused, and named
    assert isinstance(got.teacher.model, str)


def test_every_setting_has_a_sentence_and_a_flag(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out

    def walk(section, prefix):
        for name, info in section.model_fields.items():
            inner = cli._section_of(info)
            if inner:
                walk(inner, f"{prefix}{name}.")
            else:
                assert info.description, f"{prefix}{name} has no sentence"
                assert f"--{prefix}{name} " in text

    walk(Settings, "")


def test_settings_survive_the_round_trip_through_yaml():
    settings = parse("paper")
    assert cli.settings_from(yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json"))), "x") == settings


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (UserError("the file is empty", "fill it"), 2, ["the file is empty", "fill it"]),
        (BudgetReached("5 USD are used up"), 3, ["5 USD", "run the same command again"]),
        (KeyboardInterrupt(), 130, ["To go on"]),
    ],
)
def test_a_user_sees_sentences_and_an_exit_code_not_a_trace(capsys, raised, code, said):
    def job(argv):
        if isinstance(raised, UserError):
            raise RuntimeError("what Ray wraps around it") from raised
        raise raised

    with pytest.raises(SystemExit) as stop:
        cli.run(job)
    assert stop.value.code == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    for text in said:
        assert text in shown


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--teacher.base_url", "https://me:s3cret@host/v1"),
        ("--teacher.base_url", "https://host/v1?key=s3cret"),
        ("--teacher.api_key_env", "sk-s3cret"),
        ("--run_dir", "s3://ID:s3cret@bucket/run"),
        ("--teacher.journal", "s3://bucket/run?secret_key=s3cret"),
    ],
)
def test_a_key_among_the_settings_is_refused_and_not_repeated(flag, value):
    with pytest.raises(SettingsError) as error:
        parse(flag, value)
    assert flag[2:] in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_relative_run_directory_is_not_lost_with_the_session_of_a_ray_job(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings(run_dir="runs/a").run_path == str(tmp_path / "runs" / "a")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"working_dir": "gcs://x.zip"}}')
    assert Settings(run_dir="runs/a").run_path == "/home/somebody/raydistill/runs/a"
    elsewhere = Settings.model_validate({"run_dir": "runs/a", "teacher": {"journal": "paid"}}).absolute()
    assert (elsewhere.run_dir, elsewhere.teacher.journal) == (
        "/home/somebody/raydistill/runs/a",
        "/home/somebody/raydistill/paid",
    )
    assert elsewhere.absolute() == elsewhere
    assert Settings(run_dir="/data/a").run_path == "/data/a"
    assert Settings(run_dir="s3://bucket/a").run_path == "s3://bucket/a"
