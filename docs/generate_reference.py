"""Write docs/reference/ from the code: the settings from their fields, the tables from their Arrow schemas.

python docs/generate_reference.py            # write the pages
python docs/generate_reference.py --check    # write nothing; exit 1 if a page is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reference_settings import settings_page
from reference_tables import tables_page

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Made by `python docs/generate_reference.py`. Edit the code that it is made from, not this page. -->\n\n"


def main() -> None:
    """Write the pages, or compare them with what would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    check = parser.parse_args().check
    stale = []
    for path, text in pages().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"Not up to date: {', '.join(stale)}. Run: python docs/generate_reference.py", file=sys.stderr)
        sys.exit(1)
    print("\n".join(f"wrote {name}" for name in stale) or "Up to date.")


def pages() -> dict[Path, str]:
    """Return the text of each page by its path."""
    return {REFERENCE / "settings.md": NOTE + settings_page(), REFERENCE / "tables.md": NOTE + tables_page()}


if __name__ == "__main__":
    main()
