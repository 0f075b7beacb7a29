"""A file of a backup: whole, its owner's, and never in the place of another one."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tron_payment.operator import custody


@pytest.fixture(params=["links", "no links"])
def folder(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """On a file system that gives a file two names, and on one that does not, such as a stick's."""

    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", no_links)
    return tmp_path


def write(target: Path, text: str) -> None:
    with custody._file(target) as keep:
        keep(text)


def test_of_two_at_once_one_is_told_that_the_name_is_taken(folder: Path) -> None:
    """Both have looked, and saw no file."""
    target = folder / "keys.bak"
    write(target, "the first one's")
    with pytest.raises(FileExistsError):
        write(target, "the second one's")
    assert target.read_text() == "the first one's"
    assert os.listdir(folder) == ["keys.bak"], "no draft is left"
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.stat().st_nlink == 1


def test_a_name_that_leads_elsewhere_is_taken_too(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    (folder / "keys.bak").symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        write(folder / "keys.bak", "a backup")
    assert not elsewhere.exists()


def test_what_could_not_be_written_whole_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write(folder / "keys.bak", "a backup")
    assert os.listdir(folder) == []
    write(folder / "keys.bak", "a backup")


def test_who_dies_before_the_keys_are_noted_leaves_no_backup(folder: Path) -> None:
    with pytest.raises(ConnectionError), custody._file(folder / "keys.bak") as keep:
        keep("a backup")
        assert [(folder / each).read_text() for each in os.listdir(folder)] == ["a backup"]
        raise ConnectionError("the store is away")
    assert os.listdir(folder) == []
