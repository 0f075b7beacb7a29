"""`docs/permissions.md` is what `tron-payment permissions` prints."""

from pathlib import Path

from tron_payment.http.permissions import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


def test_the_page_shows_the_table_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8").endswith(markdown_table())
