"""The colours of methods: by their place in METHODS, so that a new method has one without being named here.

They are written into the page as CSS variables, `--m-<method>`, which its style and charts refer to.
"""

from __future__ import annotations

from raydistill.method.methods import METHODS

OTHER = "var(--other)"
"""The colour (style.css) of what has none here."""

# (on a light page, on a dark page)
_COLOURS = (
    ("#8a939e", "#8f9aa6"),
    ("#626d79", "#b9c3cd"),
    ("#d9822b", "#eb9b4b"),
    ("#3aa0b8", "#56bdd3"),
    ("#8a63c4", "#ab8be0"),
    ("#1f6fd1", "#5a9ff0"),
    ("#1a936f", "#45bd95"),
    ("#c2416b", "#e76f96"),
    ("#8c6d31", "#c2a25c"),
    ("#4d6b1f", "#a3c26b"),
)


def css() -> str:
    """Return the rules that set a variable for each method, for light and dark pages."""
    light = []
    dark = []
    for place, name in enumerate(METHODS):
        on_light, on_dark = _COLOURS[place] if place < len(_COLOURS) else (OTHER, OTHER)
        light.append(f"--m-{name}: {on_light};")
        dark.append(f"--m-{name}: {on_dark};")
    root = f":root {{ {' '.join(light)} }}"
    return f"{root}\n@media (prefers-color-scheme: dark) {{ :root {{ {' '.join(dark)} }} }}"


def of_method(name: str) -> str:
    """Return the CSS colour of a method."""
    return f"var(--m-{name})" if name in METHODS else OTHER
