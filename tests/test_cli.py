"""Settings: YAML, overrides, and errors that name the setting."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import raydistill
from raydistill.cli import main as dispatcher
from raydistill.cli import validation
from raydistill.cli.arguments import SettingsParser, parse_settings
from raydistill.config import Settings
from raydistill.config.base import leaves
from raydistill.config.renamed import RENAMED, RENAMED_VALUES
from raydistill.runtime.errors import BudgetReached, SettingsError, UserError

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "raydistill" / "configs").glob("*.yaml"))
NAMES = dict(leaves(Settings))
SHORTHANDS = ("max_usd", "max_tokens")


def parse(*argv: str) -> Settings:
    return parse_settings(argv)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_is_valid_and_is_found_by_name(path: Path) -> None:
    assert parse(str(path)) == parse(path.stem) == parse(f"configs/{path.name}")


def test_overrides_reach_every_level_and_leave_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("seed: 3\nteacher: {model: m, price: {input: 1, output: 2}}\n")
    settings = parse(
        str(file),
        "--teacher.model",
        "gpt-x",
        "--teacher.price.output=2.5",
        "--students.num_train_epochs",
        "2",
        "--local",
    )
    assert (settings.seed, settings.teacher.model) == (3, "gpt-x")
    assert (settings.students.num_train_epochs, settings.local) == (2, True)
    assert settings.teacher.price is not None
    assert (settings.teacher.price.input, settings.teacher.price.output) == (1, 2.5)


def test_a_budget_in_the_file_may_be_switched_off_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("teacher: {budget_usd: 3}\n")
    assert parse(str(file), "--budget-usd", "null").teacher.budget_usd is None


def test_a_date_is_a_name() -> None:
    assert parse("--run_dir", "2026-10-01").run_dir == "2026-10-01"


def test_shorthands_dashes_lists_and_switches() -> None:
    parser = SettingsParser("test", "a command with an option of its own")
    parser.add_option("--dry", action="store_true", help="do nothing")
    settings, options = parser.parse(
        ["--local", "quickstart", "--teacher", "api", "--budget-usd", "5", "--students.models", "t5-small", "--dry"]
    )
    assert options.dry
    assert options.has_settings
    assert settings.local
    assert settings.teacher.kind == "api"
    assert settings.teacher.budget_usd == 5
    assert settings.students.models == ["t5-small"]
    settings, options = parser.parse([])
    assert (options.dry, options.has_settings) == (False, False)
    assert settings == parse("quickstart")


@pytest.mark.parametrize(
    ("argv", "models"),
    [
        (["[t5-small, gpt2]"], ["t5-small", "gpt2"]),
        (["[t5-small,gpt2]"], ["t5-small", "gpt2"]),
        (["['t5-small', \"gpt2\"]"], ["t5-small", "gpt2"]),
        (["t5-small", "--students.models", "gpt2"], ["t5-small", "gpt2"]),
        (["/models/a=b"], ["/models/a=b"]),
        (["[]"], []),
    ],
)
def test_lists_are_yaml_or_one_value_or_several_flags(argv: list[str], models: list[str]) -> None:
    assert parse("--students.models", *argv).students.models == models


def test_numbers_in_lists_and_exponents() -> None:
    settings = parse("--search.learning_rates", "[1e-4, 3.0e-4]", "--students.learning_rate", "2e-4", "--teacher=local")
    assert settings.search.learning_rates == [1e-4, 3e-4]
    assert settings.students.learning_rate == 2e-4
    assert settings.teacher.kind == "local"


def test_a_boolean_flag_takes_true_false_or_nothing() -> None:
    assert parse("--local").local
    assert parse("--local=true").local
    assert not parse("--local", "false").local
    assert not parse("--students.evaluate-untrained", "False", "quickstart").students.evaluate_untrained
    assert parse("--local", "paper").local


@pytest.mark.parametrize(
    ("argv", "texts"),
    [
        (["--teacher.modle", "x"], ["--teacher.modle", "--teacher.model"]),
        (["--students.num_train_epochs", "many"], ["students.num_train_epochs", "integer", "many"]),
        (["--teacher", "oracle"], ["teacher.kind", "simulated", "oracle"]),
        (["--teacher.max_failure_rate", "2"], ["teacher.max_failure_rate", "less than or equal to 1"]),
        (["--questions.tasks", "[coin_flop]"], ["questions.tasks", "coin_flip"]),
        (["--questions.file", "x.csv"], ["questions.answer_type"]),
        (["--teacher.base_url", "api.openai.com"], ["teacher.base_url", "https://"]),
        (["--teacher.model"], ["teacher.model", "expected one argument"]),
        (["--students.models", "[t5-small"], ["students.models", "delimiter"]),
        (["--teacher.price.input", "1"], ["teacher.price.output", "required"]),
        (["nowhere.yaml"], ["nowhere.yaml", "quickstart"]),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(argv: list[str], texts: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        parse(*argv)
    for text in texts:
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("teacher: {modle: x}", ["teacher.modle", "model"]),
        ("teacher: [1", ["not YAML", "line"]),
        ("- a\n- b", ["no mapping"]),
    ],
)
def test_a_wrong_file_is_named_with_what_is_allowed(tmp_path: Path, text: str, texts: list[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        parse(str(file))
    for part in [*texts, str(file)]:
        assert part in str(error.value)


@given(st.text(max_size=60))
@hypothesis.settings(deadline=None)
def test_no_value_crashes_the_parser(text: str) -> None:
    try:
        settings = parse(f"--teacher.model={text}")
    except SettingsError:
        return  # "null" is no value: rejected, and named
    assert settings.teacher.model == text


def test_every_setting_has_a_sentence_and_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out
    for name, info in NAMES.items():
        assert info.description, f"{name} has no sentence"
        assert re.search(rf"--{re.escape(name)}[ ,]", text)  # Python 3.13 writes the value after the last name


@pytest.mark.parametrize("old", [name for name in RENAMED if name not in SHORTHANDS])
def test_an_old_setting_name_is_rejected_with_the_new_one_named(tmp_path: Path, old: str) -> None:
    assert old not in NAMES
    assert RENAMED[old] in NAMES
    *sections, name = old.split(".")
    tree: dict[str, object] = {name: 1}
    for section in reversed(sections):
        tree = {section: tree}
    file = tmp_path / "old.yaml"
    file.write_text(yaml.safe_dump(tree))
    for argv in ([str(file)], [f"--{old}", "1"], [f"--{old.replace('_', '-')}=1"], ["quickstart", f"--{old}"]):
        with pytest.raises(SettingsError) as error:
            parse(*argv)
        assert f"{old} is now {RENAMED[old]}." in str(error.value)


@pytest.mark.parametrize("old", SHORTHANDS)
def test_an_old_shorthand_is_rejected_with_the_new_one_named(old: str) -> None:
    with pytest.raises(SettingsError, match=f"{old} is now {RENAMED[old]}"):
        parse(f"--{old.replace('_', '-')}", "5")
    short = RENAMED[old].removeprefix("teacher.")
    assert parse(f"--{short}", "5") == parse(f"--{RENAMED[old]}", "5")


@pytest.mark.parametrize(("setting", "old"), RENAMED_VALUES)
def test_an_old_value_is_rejected_with_the_new_one_named(tmp_path: Path, setting: str, old: str) -> None:
    section, name = setting.split(".")
    file = tmp_path / "old.yaml"
    file.write_text(yaml.safe_dump({section: {name: old}}))
    for argv in ([str(file)], [f"--{setting}", old]):
        with pytest.raises(SettingsError, match=f"{setting}: {old} is now {RENAMED_VALUES[setting, old]}"):
            parse(*argv)
    parse(f"--{setting}", RENAMED_VALUES[setting, old])


def test_the_old_token_budget_is_told_apart_from_the_length_of_an_answer() -> None:
    with pytest.raises(SettingsError, match=r"budget of the whole run.*teacher\.few_shot_max_tokens"):
        parse("--teacher.max_tokens", "512")


def test_settings_survive_the_round_trip_through_yaml() -> None:
    settings = parse("paper")
    assert validation.validate(yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json"))), "x") == settings


@pytest.mark.parametrize(
    ("raised", "code", "texts"),
    [
        (UserError("the file is empty", "fill it"), 2, ["the file is empty", "fill it"]),
        (BudgetReached("5 USD are used up"), 3, ["5 USD", "run the same command again"]),
        (KeyboardInterrupt(), 130, ["To continue"]),
    ],
)
def test_a_user_sees_sentences_and_an_exit_code_not_a_trace(
    capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, texts: list[str]
) -> None:
    def command(argv: list[str]) -> None:
        if isinstance(raised, UserError):
            raise RuntimeError("what Ray wraps around it") from raised
        raise raised

    with pytest.raises(SystemExit) as stop:
        dispatcher.run_command(command, [])
    assert stop.value.code == code
    output = capsys.readouterr().err
    assert "Traceback" not in output
    for text in texts:
        assert text in output


def test_another_error_keeps_its_stack_trace() -> None:
    def command(argv: list[str]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dispatcher.run_command(command, [])


def raydistill_command(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raydistill", *argv]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60)


def test_python_m_raydistill_is_the_command(tmp_path: Path) -> None:
    assert raydistill_command("--version", cwd=tmp_path).stdout == f"raydistill {raydistill.__version__}\n"
    typo = raydistill_command("estimat", cwd=tmp_path)
    assert typo.returncode == 2
    assert "Did you mean estimate?" in typo.stderr
    estimate = raydistill_command("estimate", "quickstart", "--questions.limit_train", "8", cwd=tmp_path)
    assert estimate.returncode == 0, estimate.stderr
    assert "few_shot" in estimate.stdout
    assert (
        estimate.stdout == raydistill_command("run", "--estimate", "--questions.limit_train", "8", cwd=tmp_path).stdout
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", dispatcher.COMMANDS)
def test_each_command_has_help_and_needs_no_ray_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        dispatcher.main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: raydistill {command}" in capsys.readouterr().out


def test_jobs_are_the_commands(tmp_path: Path) -> None:
    job = str(ROOT / "jobs" / "full_pipeline.py")
    flags = ["--estimate", "--questions.limit_train", "8"]
    done = subprocess.run([sys.executable, job, *flags], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == raydistill_command("run", *flags, cwd=tmp_path).stdout


def test_importing_the_package_and_its_settings_loads_no_ray() -> None:
    code = "import sys, raydistill; raydistill.Settings(); print({'ray', 'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_the_package_exports_what_a_notebook_needs() -> None:
    from raydistill import pipeline

    assert raydistill.run is pipeline.run
    assert {"run", "estimate", "Settings", "Store"} <= set(dir(raydistill))
    with pytest.raises(AttributeError, match="nothing"):
        _ = raydistill.nothing  # type: ignore[attr-defined]


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
def test_a_key_among_the_settings_is_rejected_and_not_repeated(flag: str, value: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(flag, value)
    assert flag[2:] in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_relative_run_directory_is_not_lost_with_the_session_of_a_ray_job(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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


@pytest.mark.parametrize("section", ["students", "ray", "teacher.simulated"])
def test_a_section_is_no_setting(section: str) -> None:
    with pytest.raises(SettingsError, match=f"Unknown argument --{section}"):
        parse(f"--{section}", "quickstart")


def test_a_setting_that_bears_its_sections_name_is_refused_in_its_own_section(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("students: {students: 3}\n")
    with pytest.raises(SettingsError, match=r"students\.students: there is no such setting; allowed here: models"):
        parse(str(file))


def test_a_tilde_is_nothing(tmp_path: Path) -> None:
    assert parse("--teacher.journal", "~").teacher.journal is None
