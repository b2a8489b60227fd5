# The commands that one needs. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help install test quick-test lint docs site

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/:/' | column -t -s :

install: ## install raydistill for development, and the pre-commit hooks
	pip install -e '.[dev]' typos
	pre-commit install

test: ## run all tests
	pytest

quick-test: ## run the tests that need neither Ray nor a training
	pytest -m 'not slow' tests/test_answers.py tests/test_architecture.py tests/test_cli.py tests/test_curate.py \
	  tests/test_docs.py tests/test_progress.py tests/test_prompts.py tests/test_readme.py tests/test_report.py \
	  tests/test_report_sections.py tests/test_steps.py tests/test_store.py tests/test_tasks.py \
	  tests/test_teacher_governor.py tests/test_teacher_inspect.py tests/test_journal_*.py

lint: ## check style, types, imports between rooms, spelling
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	typos

docs: ## write docs/reference from the settings and the tables
	python docs/generate_reference.py

site: docs ## serve the documentation (needs pip install -e '.[docs]')
	mkdocs serve
