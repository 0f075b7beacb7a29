"""The service talks by one HTTP library that can be sent through Tor, and names no other system."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src" / "tron_payment"

FORBIDDEN: Final = frozenset(
    {"requests", "urllib.request", "urllib3", "aiohttp", "http.client", "pycurl", "smtplib"}
)
"""Ways to the network that know nothing of the proxy."""

RESOLVING: Final = frozenset(
    {"getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "create_connection"}
)
"""Calls that ask the machine's name server: what a proxy must do for us."""

GUARD: Final = Path("egress.py")
"""Wraps these calls to refuse them."""

POOL: Final = "chain/pool.py self.create_connection"
"""httpcore's own name for making a connection: the SOCKS pool makes one through the proxy."""

OTHER_SYSTEMS: Final = re.compile(
    r"blockchain[-_ ]?core|blockchain[-_ ]?engine|session[-_ ]?anchoring|on[-_]system[-_]chain|"
    r"data[-_ ]?chain|lucid[-_ ]?blocks",
    re.IGNORECASE,
)
"""The owner's own blockchain and its parts, by any spelling."""


OTHER_DATABASES: Final = frozenset(
    {"get_database", "get_default_database", "list_databases", "list_database_names"}
)

GIVING: Final = (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.Return)
"""Where a thing gets another name."""

NODE_CLIENT: Final = ("alias", "identity", "genesis_id")
HTTP_CLIENT: Final = ("HTTPConnection", "HTTPException", "OK")

OTHER_PROGRAMS: Final = frozenset({"devices", "healthcheck.py"})
"""The agent beside a person's device (in the service's own process it talks to USB, never to the
network), and the container's probe of the loopback address."""


def _last(node: ast.AST) -> str:
    """The last name of an expression such as `store.client`."""
    return getattr(node, "attr", None) or getattr(node, "id", "")


def sources() -> Iterator[tuple[Path, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if path.relative_to(SOURCE).parts[0] not in OTHER_PROGRAMS:
            yield path.relative_to(SOURCE), path.read_text()


def test_nothing_imports_a_library_that_could_bypass_the_proxy() -> None:
    found = []
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [
                f"{path}:{node.lineno} imports {name}"
                for name in names
                if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN)
            ]
    assert found == []


def test_nothing_asks_the_name_server_or_connects_by_name() -> None:
    found = [
        f"{path} {ast.unparse(node.func)}"
        for path, text in sources()
        if path != GUARD
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in RESOLVING
    ]
    assert found == [POOL]


def test_no_http_client_reads_proxies_of_the_environment() -> None:
    found = []
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("AsyncClient"):
                said = {word.arg: ast.unparse(word.value) for word in node.keywords}
                owner = ast.unparse(node.func)
                if owner.startswith("httpx") and said.get("trust_env") != "False":
                    found.append(f"{path}:{node.lineno}")
    assert found == []


def test_the_store_is_opened_in_one_place_under_the_name_of_the_settings() -> None:
    """No other database of the server is read: the owner's may lie beside ours."""
    opened, chosen, taken, attributes = set(), set(), set(), set()
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and _last(node.func) in (
                "AsyncMongoClient",
                "MongoClient",
            ):
                opened.add(str(path))
            if isinstance(node, ast.Call) and _last(node.func) in OTHER_DATABASES:
                chosen.add(f"{path} {ast.unparse(node)}")
            if isinstance(node, ast.Subscript) and _last(node.value).endswith("client"):
                chosen.add(f"{path} {ast.unparse(node)}")
            if isinstance(node, ast.Attribute) and _last(node.value) == "client":
                attributes.add(node.attr)
            value = getattr(node, "value", None) if isinstance(node, GIVING) else None
            if isinstance(value, ast.Attribute) and value.attr == "client":
                taken.add(f"{path} {ast.unparse(node)}")
    assert opened == {"db/connect.py", "db/embedded.py"}
    ours = {"db/connect.py client[name]", "db/connect.py store.client[name]"}
    assert chosen == ours | {"http/gate.py client[0]"}
    assert taken == set(), "a client by another name would be out of sight here"
    assert attributes <= {"admin", "close", "aclose", "request", *NODE_CLIENT, *HTTP_CLIENT}


def test_both_of_our_databases_have_the_name_of_the_settings() -> None:
    """By which names they are opened; `admin` is asked for its state only."""
    names, commands = set(), set()
    for _, text in sources():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("connect", "open_store", "open_beside") and len(node.args) == 3:
                names.add(ast.unparse(node.args[1]))
            if called.endswith("client.admin.command"):
                commands.add(ast.unparse(node.args[0]))
    ours = r"(name|(\w+\.)?payment_db_name( \+ JOURNAL_SUFFIX)?)"
    assert names and [name for name in names if not re.fullmatch(ours, name)] == []
    assert commands <= {"'hello'", "'buildInfo'", "'replSetGetStatus'"}, commands


def test_no_word_of_the_owners_other_systems() -> None:
    places = [*SOURCE.rglob("*.py"), *ROOT.glob("docker*/**/*"), *ROOT.glob("*compose*.y*ml")]
    places += [ROOT / "pyproject.toml", ROOT / ".env.example"]
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in places
        if path.is_file()
        for match in OTHER_SYSTEMS.finditer(path.read_text(errors="replace"))
    ]
    assert found == []
