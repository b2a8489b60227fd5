"""Stored runs for tests of the report, and a parser of its page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa

from raydistill.config import Settings, StudentSettings, TeacherSettings
from raydistill.report import results
from raydistill.runtime.store import Store
from support import report_tables


def run_settings(methods: tuple[str, ...] = ("vanilla", "new_fine_tune_cot"), kind: str = "simulated") -> Settings:
    return Settings(
        teacher=TeacherSettings.model_validate({"kind": kind}),
        students=StudentSettings.model_validate({"methods": list(methods)}),
    )


def whole(**options: Any) -> dict[str, pa.Table]:
    made = report_tables.make(**options)
    return made | {"results": results.summarise(made["students"], made["predictions"], made["questions"])}


def stored(path: Path, made: dict[str, pa.Table], without: tuple[str, ...] = ()) -> Store:
    store = Store(str(path))
    for name, table in made.items():
        if name not in without:
            store.write(name, table, "key")
    return store


class Page(HTMLParser):
    """Tags, ids, addresses and visible text; fails on tags that do not close in order."""

    VOID = frozenset({"meta", "br", "path", "use", "link", "image"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)
