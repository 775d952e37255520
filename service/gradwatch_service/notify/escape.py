"""Names and texts made harmless for where they are shown: no markup, no mention, no hidden link."""

from __future__ import annotations

import html as markup
import re
import unicodedata

ZERO_WIDTH = "\u200b"
SPACES = frozenset({"Cc", "Zl", "Zp", "Zs"})

_LOOKALIKES = str.maketrans({
    "@": f"@{ZERO_WIDTH}", "`": "\u02cb", "*": "\u2217", "~": "\u223c", "|": "\u2223",
})  # fmt: skip
_UNDERSCORES = re.compile(r"_{2,}|(?<![^\W_])_|_(?![^\W_])")
_LINK = re.compile(r"\](?=[(\[])|:(?=//)|www(?=\.)|:(?=[\w+-]+:)", re.IGNORECASE)
_TAG = re.compile(r"<(?=[^\s\d=])")


def line(text: str, length_max: int) -> str:
    """One line of printable characters, cut where it gets long."""
    shown = "".join(map(_shown, text))
    shown = " ".join(shown.split())
    return shown if len(shown) <= length_max else f"{shown[: length_max - 1].rstrip()}…"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) in SPACES else ""


def _quiet(text: str) -> str:
    text = _UNDERSCORES.sub(lambda run: "\uff3f" * len(run[0]), text.translate(_LOOKALIKES))
    return _LINK.sub(lambda found: f"{found[0]}{ZERO_WIDTH}", text)


def plain(text: str) -> str:
    """For text that somebody down the line may read as Markdown or as Slack's markup."""
    return _TAG.sub("\u2039", _quiet(text))


def slack(text: str) -> str:
    """For Slack's markup and Markdown alike; ``&``, ``<`` and ``>`` become entities."""
    return markup.escape(_quiet(text), quote=False)


def html(text: str) -> str:
    """For an HTML page."""
    return markup.escape(_quiet(text))
