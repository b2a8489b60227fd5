"""Read JSON that a server sent, whatever is wrong with it: it was paid for."""

from __future__ import annotations

import json
from typing import Any


def load(content: bytes) -> Any:
    """Return the JSON value that `content` holds.

    A byte order mark, bytes that are no UTF-8, control characters in strings, numbers of thousands of digits, and
    whatever follows the first value are passed over.

    Raises:
        ValueError: it begins with none.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError:
        pass
    text = content.decode("utf-8-sig", "replace").lstrip()
    try:
        value, _ = _LENIENT.raw_decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # Python reads no integers of more than 4,300 digits
        return float(digits)


_LENIENT = json.JSONDecoder(strict=False, parse_int=_integer)
