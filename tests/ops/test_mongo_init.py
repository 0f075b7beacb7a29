"""What deploy/mongodb/init.js asks of a server: run in Node.js with one that writes it down."""

import json
import shutil
import subprocess
from typing import Any, Final

import pytest

from tests.ops.test_deploy import ROOT, SERVICES
from tron_payment.serve import JOURNAL_SUFFIX
from tron_payment.settings import Settings

NODE: Final = shutil.which("node")
SERVER = """
const said = { initiated: [] };
require("fs").readFileSync = (path) => `secret of ${path.replace("/run/secrets/", "")}\\n`;
const leave = (how, name, user) => console.log(JSON.stringify({ ...said, how, name, user }));
globalThis.Mongo = function (uri) {
  said.uri = uri;
  this.getDB = (name) => {
    if (name !== "admin") said.home = name;
    return {
      runCommand: (command) => {
        if (command.replSetGetStatus && process.env.STATE)
          throw Object.assign(new Error("no"), { codeName: process.env.STATE });
        for (const member of command.replSetInitiate?.members ?? [])
          said.initiated.push(member.host);
        return { ok: 1, isWritablePrimary: true };
      },
      getUser: () => (process.env.PRESENT ? {} : null),
      createUser: ({ user, ...rest }) => leave("createUser", user, rest),
      updateUser: (user, rest) => leave("updateUser", user, rest),
    };
  };
};
globalThis.print = globalThis.sleep = () => {};
"""
"""What mongosh gives a script, as far as ours asks."""


def made_by_init_js(present: bool, state: str) -> dict[str, Any]:
    """Run the script with a server of ours: the user that it leaves, and how it came to it."""
    place = SERVICES["mongo-init"]["environment"]
    done = subprocess.run(
        [str(NODE), "-e", SERVER + (ROOT / "deploy" / "mongodb" / "init.js").read_text()],
        env={**place, "PRESENT": "1" if present else "", "STATE": state},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.node
@pytest.mark.skipif(NODE is None, reason="Node.js is not here")
@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize("state", ["", "NotYetInitialized"])
def test_the_user_of_the_service_has_both_of_its_databases_and_nothing_else(
    present: bool, state: str
) -> None:
    assert "PAYMENT_DB_NAME" not in SERVICES["tron-payment"]["environment"]
    database = Settings.model_fields["payment_db_name"].default
    roles = [{"role": "readWrite", "db": name} for name in (database, database + JOURNAL_SUFFIX)]
    made = made_by_init_js(present, state)
    assert made.pop("uri") == (
        "mongodb://root:secret%20of%20mongo_root_password@mongodb:27017/"
        "?directConnection=true&authSource=admin"
    )
    assert made == {
        "how": "updateUser" if present else "createUser",
        "home": database,
        "name": "tron_payment",
        "user": {"pwd": "secret of mongo_password", "roles": roles},
        "initiated": ["mongodb:27017"] if state else [],
    }
