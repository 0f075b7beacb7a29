"""`docs/errors.md` has every error code, as the code says it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_code_prints() -> None:
    """In a process of its own: other tests make refusals too."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.console.errors_page"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert page == done.stdout, "python -m tests.console.errors_page > docs/errors.md"
