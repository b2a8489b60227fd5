"""The YAML file of a run: a path, or the name of a configuration that comes with raydistill."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from raydistill.runtime.errors import SettingsError

FOLDER = Path(__file__).resolve().parents[1] / "configs"
DEFAULT = "quickstart"


def bundled() -> list[str]:
    """Names of the configurations that come with raydistill."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """Return the settings tree of the file at path `name`, else of the bundled configuration of that name.

    Raises:
        SettingsError: there is no such file, it cannot be read, or it is not a YAML mapping.
    """
    path = _locate(name)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"The settings file {path} is not YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(
            f"The settings file {path} holds no mapping of settings.",
            "Write one setting a line, `section: {field: value}`: see raydistill/configs/quickstart.yaml.",
        )
    return tree


def _locate(name: str) -> Path:
    """Return the path of a file or of a bundled configuration; `configs/paper.yaml` names a bundled one everywhere."""
    path = Path(name)
    if path.exists():
        return path
    packaged = (FOLDER / path.name).with_suffix(".yaml")
    if packaged.is_file() and path.suffix in ("", ".yaml"):
        return packaged
    raise SettingsError(f"There is no settings file {name}.", f"Give a path, or one of: {', '.join(bundled())}.")


def merge(tree: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tree` with the values of `overrides` laid over it, section by section."""
    merged = dict(tree)
    for name, value in overrides.items():
        section = merged.get(name)
        if isinstance(value, Mapping) and isinstance(section, Mapping):
            merged[name] = merge(section, value)
        else:
            merged[name] = value
    return merged
