"""The model in `docs/model`: no error as it is, an error without any one of its guards."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "docs" / "model"
COMPILE = ("gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048", "-o", "pan", "pan.c")
FLAGS = sorted(set(re.findall(r"\b(?:NO|REACH)_[A-Z_]+", (MODEL / "order.pml").read_text())))
QUICK = ["NO_CHAIN_TIME", "NO_STORE_BEFORE_SEND", "REACH_SETTLED"]
SOAK = bool(os.environ.get("SOAK"))
SHALLOW = 160
DEPTHS = {"NO_CURSOR_LAST": 20_000} | {f: 20_000 for f in FLAGS if f.startswith("REACH")}
WITHIN_S = 240

pytestmark = pytest.mark.skipif(
    not (shutil.which("spin") and shutil.which("gcc")),
    reason="spin or gcc is not installed (apt-get install spin gcc)",
)


def check(folder: Path, *flags: str, depth: int) -> str:
    """What the verifier prints for the model with these flags."""
    shutil.copy(MODEL / "order.pml", folder)
    for command in (("spin", *flags, "-a", "order.pml"), COMPILE):
        subprocess.run(command, cwd=folder, check=True, timeout=WITHIN_S, capture_output=True)
    search = ("./pan", "-E", f"-m{depth}", "-w24")
    done = subprocess.run(search, cwd=folder, timeout=WITHIN_S, capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize("flag", FLAGS if SOAK else QUICK)
def test_without_a_guard_the_model_has_an_error(tmp_path: Path, flag: str) -> None:
    shown = check(tmp_path, f"-D{flag}", depth=DEPTHS.get(flag, SHALLOW))
    assert "errors: 1" in shown, shown[-500:]


def test_the_page_about_the_model_names_every_guard() -> None:
    page = (MODEL / "README.md").read_text()
    assert [flag for flag in FLAGS if f"`{flag}`" not in page and f"`-D{flag}`" not in page] == []


@pytest.mark.skipif(not SOAK, reason="a minute of two cores; SOAK=1 runs it")
def test_the_model_has_no_error(tmp_path: Path) -> None:
    assert "errors: 0" in check(tmp_path, "-DMAXT=3", depth=1_000_000)
