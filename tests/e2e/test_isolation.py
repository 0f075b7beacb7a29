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


OTHER_PROGRAMS: Final = frozenset({"devices", "healthcheck.py"})
"""The agent beside a person's device (in the service's own process it talks to USB, never to the
network), and the container's probe of the loopback address."""


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
