"""The documentation is true: generated pages are current; links, files, tests, settings and commands exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from support.documents import ROOT, Document, check_command, document, setting_names

from raydistill.config import Settings
from raydistill.config.renamed import RENAMED

FOLDERS = (ROOT / "docs", ROOT / "examples")
MARKDOWN = [path for folder in FOLDERS for path in sorted(folder.rglob("*.md"))] + [ROOT / "CONTRIBUTING.md"]
PAGES = [document(str(path.relative_to(ROOT))) for path in MARKDOWN]
SITE = [page for page in PAGES if page.name.startswith("docs/")]
TEST = re.compile(r"`(tests/[\w./]+)::(\w+)`")
MY_YAML = """\
run_dir: runs/mine
questions: {tasks: [], file: questions.jsonl, answer_type: number}
"""
"""The reader's own settings file, in pages that name one."""

with_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which the examples and a settings file of the reader are."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "my.yaml").write_text(MY_YAML, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_reference_is_what_the_code_says() -> None:
    generator = ROOT / "docs" / "generate_reference.py"
    done = subprocess.run(
        [sys.executable, str(generator), "--check"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_reference_describes_every_setting_and_column() -> None:
    settings = document("docs/reference/settings.md").text
    for name in setting_names():
        assert f"`{name}`" in settings or f"\n## {name}\n" in settings, name
    assert "stable hash of task, source row and question text" in document("docs/reference/tables.md").text


def test_every_page_is_in_the_site() -> None:
    listed = set(pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    assert listed == {page.name.removeprefix("docs/") for page in SITE}


@with_each_page
def test_links_lead_somewhere(page: Document) -> None:
    missing = [str(path) for path in page.links() if not path.exists()]
    assert not missing


@with_each_page
def test_files_and_tests_that_are_named_exist(page: Document) -> None:
    missing = [name for name in page.files() if not (ROOT / name).exists()]
    missing += [f"{path}::{name}" for path, name in TEST.findall(page.text) if name not in functions_in(path)]
    assert not missing


@with_each_page
def test_settings_that_are_named_exist(page: Document) -> None:
    assert not set(page.settings()) - setting_names()


@with_each_page
@pytest.mark.usefixtures("clone")
def test_commands_parse(page: Document) -> None:
    for words in page.commands():
        check_command(words)


@with_each_page
def test_yaml_blocks_are_settings(page: Document) -> None:
    for block in page.blocks("yaml"):
        Settings.model_validate(yaml.safe_load(block))


def test_every_section_of_the_settings_is_in_the_reference() -> None:
    text = document("docs/reference/settings.md").text
    for name in Settings.model_fields:
        assert re.search(rf"^##+ `?{name}`?$", text, re.M), name


def test_the_makefile_names_tests_that_exist_and_the_changelog_every_renamed_setting() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert not [name for name in re.findall(r"tests/\w+\.py", makefile) if not (ROOT / name).is_file()]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for old, new in RENAMED.items():
        if "." in old:
            assert f"| `{old}` | `{new}` |" in changelog
    assert setting_names() >= {new for new in RENAMED.values() if "." in new}


def test_a_wrong_page_would_be_seen(tmp_path: Path) -> None:
    text = "`students.epochs` and [a link](nowhere.md) and `raydistill/nowhere.py`\n```bash\nray job submit -- x\n```\n"
    page = Document(tmp_path / "page.md", text)
    assert not any(path.exists() for path in page.links())
    assert list(page.files()) == ["raydistill/nowhere.py"]
    assert set(page.settings()) - setting_names() == {"students.epochs"}
    assert page.commands() == [["ray", "job", "submit", "--", "x"]]


def pages_of(nav: object) -> list[str]:
    """Return the pages in mkdocs' navigation, however deep."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    assert not isinstance(parts, str)
    pages = []
    for part in parts:  # type: ignore[attr-defined]
        pages += pages_of(part)
    return pages


@cache
def functions_in(path: str) -> frozenset[str]:
    """Return the names of the functions of a test module; none if there is no such module."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
