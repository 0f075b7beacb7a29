"""Texts of others as a terminal may be given them."""

from typing import Final

INSTEAD: Final = "?"


def printable(text: str) -> str:
    """One line in which nothing moves the cursor, hides, turns round or ends what is shown.

    Spaces stay; whatever else `str.isprintable` does not know is shown as `INSTEAD`: controls
    (an escape sequence begins with one), line ends, marks of the reading direction, halves of
    surrogate pairs.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else INSTEAD for each in text)


def printable_lines(text: str) -> str:
    """The same of a text whose line feeds are its own, such as a traceback."""
    return "\n".join(printable(line) for line in text.expandtabs().split("\n"))
