"""Where a setting's default comes from: a marker at the end of the string below the field, such as [code]."""

from __future__ import annotations

import re

#: Marker -> what it says of the default, the surest first.
ORIGINS = {
    "paper": "the paper's text",
    "notes": "public reading notes of the paper",
    "code": "published code of the method, its authors' or the field's benchmark",
    "abstract": "the paper's abstract",
    "field": "usual in related work, not known of this paper",
    "memory": "recalled of the paper, not looked up",
    "ours": "chosen here",
}

MARKER = re.compile(rf"\s*\[({'|'.join(ORIGINS)})\]$")


def split_origin(text: str) -> tuple[str, str]:
    """``"tau of the contrast. [notes]"`` -> ``("tau of the contrast.", "notes")``; "" without a marker."""
    match = MARKER.search(text)
    return (text[: match.start()], match[1]) if match else (text, "")
