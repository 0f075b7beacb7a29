"""Answers for programs of the commands that look at nothing."""

import json

import pytest

from tron_payment import cli
from tron_payment.http.permissions import PERMISSIONS
from tron_payment.http.principals import Role


def test_permissions_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["permissions", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and told["ok"]
    assert set(told["permissions"]) == set(PERMISSIONS)
    assert told["permissions"]["wallet:create"] == [Role.OPERATOR]


def test_a_demo_in_the_wrong_folder_says_so_to_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 2 and not told["ok"] and told["error"]["code"] == "usage"
