"""What counts as boilerplate in a paragraph of a web page."""

from __future__ import annotations

_PLACEHOLDER = "lorem ipsum"
_NOTICES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "privacy overview",
    "use of cookies",
    "use cookies",
    "privacy & cookies policy",
    "privacy and cookies policy",
    # Long notices that many sites share, by the words that no others have.
    "necessary cookies are absolutely essential for the website",
    "are termed as non-necessary cookies",
    "without changing your cookie settings, you agree to this use",
)


def is_placeholder(paragraph: str) -> bool:
    """Whether it is the printers' filling."""
    return _PLACEHOLDER in paragraph.lower()


def has_notice(paragraph: str) -> bool:
    """Whether it speaks of cookies, terms of use or privacy."""
    lowered = paragraph.lower()
    return any(notice in lowered for notice in _NOTICES)
