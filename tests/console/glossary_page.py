"""Prints `docs/glossary.md`: `python -m tests.console.glossary_page > docs/glossary.md`."""

from tron_payment.console.glossary import TERMS

HEAD = """# What the words mean

The same stands in the console, below every page. Printed from the code by
`tests/console/glossary_page.py`; a test compares.

| word | means |
|---|---|
"""


def page() -> str:
    """The page as the code has it."""
    return HEAD + "".join(f"| {term} | {meaning} |\n" for term, meaning in TERMS.items())


if __name__ == "__main__":
    print(page(), end="")
