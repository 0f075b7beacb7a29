"""The house keeps its shape: imports point down, rooms exist, files stay small.

Reads the source; imports nothing of it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

SOURCE: Final = Path(__file__).parents[1] / "src" / "tron_payment"
PACKAGE: Final = "tron_payment"
LINES_MAX: Final = 400

FLOORS: Final[tuple[frozenset[str], ...]] = (
    frozenset({"core"}),
    frozenset(
        {
            "logs",
            "loops",
            "configuration",
            "settings",
            "settings_checks",
            "settings_files",
            "peers",
            "ports",
            "egress",
            "bearer",
            "metrics",
            "telemetry",
        }
    ),
    frozenset({"db"}),
    frozenset({"chain"}),
    frozenset({"contracts"}),
    frozenset({"engine"}),
    frozenset({"http"}),
    frozenset({"ordered"}),
    frozenset({"module"}),
    frozenset({"network"}),
    frozenset({"wallets"}),
    frozenset({"usdt"}),
    frozenset({"staking"}),
    frozenset({"payouts"}),
    frozenset({"gateway"}),
    frozenset({"deployments", "console", "reload", "devices", "healthcheck"}),
    frozenset({"assembly"}),
    frozenset({"service", "measuring", "keeping", "auditing"}),
    frozenset({"app"}),
    frozenset({"development", "serve", "welcome"}),
    frozenset({"demo", "operator"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
"""From the ground up. A part imports those below it; those on its own floor only when they are
single files (settings and logs are neighbours, two modules never are)."""

DOMAIN_MODULES: Final = ("network", "wallets", "usdt", "staking", "payouts", "gateway")
ROOMS: Final = ("__init__", "domain", "documents", "service", "routes")
WITHOUT: Final = {"network": frozenset({"domain", "documents"})}
"""Rooms that a module has no use for: the network module stores nothing and decides nothing."""

DEVNET_USERS: Final = frozenset({"cli"})
PURE: Final = frozenset({"core"})
IMPURE: Final = frozenset(
    {"asyncio", "beanie", "httpx", "litestar", "pymongo", "random", "socket", "structlog", "os"}
)
"""What a pure file does not need."""

CLOCK_READING: Final = frozenset({"time.time", "datetime.now", "datetime.utcnow", "time.time_ns"})


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name of ours: ``from tron_payment.db.cas import Move`` in chain/x.py."""

    path: Path
    line: int
    target: tuple[str, ...]
    """Without the package's name: ("db", "cas")."""

    names: tuple[str, ...] = ()
    only_typing: bool = False

    @property
    def source(self) -> str:
        """The part that imports: the first folder, or the file's own name."""
        return part_of(self.path)

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {'.'.join(self.target)}"


def part_of(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def files() -> list[Path]:
    return sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse((SOURCE / path).read_text(), str(path))


def imports(path: Path) -> Iterator[Import]:
    """Every import of our own package, relative ones made absolute."""
    parsed = tree(path)
    typing_only = {
        id(inner)
        for node in ast.walk(parsed)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(parsed):
        only_typing = id(node) in typing_only
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE:
                    target = tuple(alias.name.split(".")[1:])
                    yield Import(path, node.lineno, target, (), only_typing)
        elif isinstance(node, ast.ImportFrom):
            base = node.module.split(".") if node.module else []
            if node.level:
                here = (PACKAGE, *path.parts[:-1])
                base = [*here[: len(here) - node.level + 1], *base]
            if base[:1] != [PACKAGE]:
                continue
            names = tuple(alias.name for alias in node.names)
            if base == [PACKAGE]:
                for name in names:
                    yield Import(path, node.lineno, (name,), (), only_typing)
            else:
                yield Import(path, node.lineno, tuple(base[1:]), names, only_typing)


KNOWN: Final = frozenset(files())
ALL: Final = [found for path in KNOWN for found in imports(path)]


def floor(part: str) -> int:
    for number, parts in enumerate(FLOORS):
        if part in parts:
            return number
    raise AssertionError(f"{part} has no floor: put it into FLOORS")


def test_every_part_of_the_house_has_a_floor() -> None:
    parts = {part_of(path) for path in files()} - {"devnet", "__init__"}
    assert parts <= frozenset().union(*FLOORS)


def test_imports_point_down() -> None:
    wrong = []
    for each in ALL:
        target = each.target[0]
        if "devnet" in (each.source, target) or each.source == target:
            continue
        above = floor(target) > floor(each.source)
        beside = floor(target) == floor(each.source) and not is_single_file(target)
        if (above or beside) and not each.only_typing:
            wrong.append(str(each))
    assert wrong == []


def is_single_file(part: str) -> bool:
    return (SOURCE / f"{part}.py").is_file()


def test_even_for_types_only_the_root_looks_up() -> None:
    """`if TYPE_CHECKING` may name what is above, but only in files of the root."""
    wrong = [
        str(each)
        for each in ALL
        if each.only_typing
        and each.source != each.target[0]
        and "devnet" not in (each.source, each.target[0])
        and floor(each.target[0]) > floor(each.source)
        and not is_single_file(each.source)
    ]
    assert wrong == []


def test_no_files_import_each_other_in_a_circle() -> None:
    """Not even for types only, nor over a third; the devnet is a program of its own."""
    ours = (path for path in files() if part_of(path) != "devnet")
    below = {path: set(targets(path)) - {path} for path in ours}
    while plain := {
        path
        for path, its in below.items()
        if not its & below.keys() or not any(path in others for others in below.values())
    }:
        for path in plain:
            del below[path]
    assert sorted(map(str, below)) == []


def targets(path: Path) -> Iterator[Path]:
    """The files that one imports: ``from tron_payment.db import cas`` means db/cas.py."""
    for each in ALL:
        if each.path == path:
            of_names = [file_of((*each.target, name)) for name in each.names]
            yield from (found or file_of(each.target) or path for found in of_names or [None])


def file_of(target: tuple[str, ...]) -> Path | None:
    places = (Path(*target).with_suffix(".py"), Path(*target, "__init__.py"))
    return next((place for place in places if place in KNOWN), None)


@pytest.mark.parametrize("name", [*DOMAIN_MODULES, "chain", "contracts", "engine", "ordered"])
def test_others_use_the_package_and_not_its_files(name: str) -> None:
    wrong = [
        str(each)
        for each in ALL
        if each.target[0] == name and each.source != name and len(each.target) > 1
    ]
    assert wrong == []


@pytest.mark.parametrize("name", [*DOMAIN_MODULES, "chain", "contracts", "engine", "ordered"])
def test_others_use_only_public_names(name: str) -> None:
    init = Path(name) / "__init__.py"
    public = {
        word
        for node in tree(init).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == "__all__" and node.value is not None
        for word in ast.literal_eval(node.value)
    }
    assert public, f"{name} says what is public in __all__"
    wrong = [
        f"{each}: {word}"
        for each in ALL
        if each.target == (name,) and each.source != name
        for word in each.names
        if word not in public
    ]
    assert wrong == []


@pytest.mark.parametrize("name", DOMAIN_MODULES)
def test_every_module_has_its_rooms(name: str) -> None:
    present = {path.stem for path in (SOURCE / name).glob("*.py")}
    assert set(ROOMS) - WITHOUT.get(name, frozenset()) <= present


def test_nothing_but_the_command_line_imports_the_devnet() -> None:
    users = {each.source for each in ALL if each.target[0] == "devnet"} - {"devnet"}
    assert users <= DEVNET_USERS


def test_the_devnet_knows_nothing_of_us_but_the_core() -> None:
    used = {each.target[0] for each in ALL if each.source == "devnet"} - {"devnet"}
    assert used <= PURE


def outside(path: Path) -> Iterator[tuple[int, str]]:
    """First names of the libraries that a file imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.split(".")[0]


def test_core_and_domains_are_pure() -> None:
    pure = [p for p in files() if part_of(p) in PURE or p.name == "domain.py"]
    wrong = [
        f"{path}:{line} imports {name}"
        for path in pure
        for line, name in outside(path)
        if name in IMPURE and str(path) not in MAY_KILL
    ]
    assert wrong == []


MAY_KILL: Final = frozenset({"core/failpoints.py"})
"""Where a test lets the process die: that asks the system, and nothing else in core may."""


def test_domains_do_not_read_the_clock() -> None:
    wrong = [
        f"{path}:{node.lineno} {ast.unparse(node.func)}"
        for path in files()
        if path.name == "domain.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CLOCK_READING
    ]
    assert wrong == []


def test_queries_live_in_documents() -> None:
    """Only files that hold documents ask the store; everybody else asks them."""
    wrong = [
        f"{path}:{node.lineno}"
        for path in files()
        if path.parts[0] in DOMAIN_MODULES and not path.stem.endswith("documents")
        if str(path) not in ASK_THEMSELVES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr == "get_pymongo_collection"
    ]
    assert wrong == []


ASK_THEMSELVES: Final = frozenset(
    {
        # reports: one aggregation each, beside what it means
        "gateway/books.py",
        "gateway/reports.py",
        "payouts/analytics.py",
        "staking/forecast.py",
        "wallets/history.py",
        # one small document each, in the file that is its only user
        "payouts/policy_desk.py",
        "payouts/recipients.py",
        "payouts/screen.py",
        "wallets/addresses.py",
        "wallets/passwords.py",
    }
)


def test_only_a_few_catch_everything() -> None:
    """Catching everything without raising it again needs a reason; these have one."""
    found = {
        str(path)
        for path in files()
        if part_of(path) != "devnet"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and node.type is not None
        and ast.unparse(node.type) in ("Exception", "BaseException")
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    }
    assert found <= CATCH_ALL


CATCH_ALL: Final = frozenset(
    {
        "loops.py",  # a failing step is logged and tried again
        "db/group.py",  # gives each waiting caller the error
        "db/grouped.py",  # the same
        "db/numbered.py",  # the same
        "wallets/aside.py",  # the same, out of a thread
        "http/front.py",  # answers a problem for whatever happened
        "console/kept.py",  # a look that fails is shown as one
        "devices/worker.py",  # hands a driver's failure, whatever it is, to the caller
        "http/health.py",  # a check that fails in any way is not ready
        "development.py",  # a start that stands still is told why, and tried again
    }
)


def test_files_are_small() -> None:
    long = {
        str(path): lines
        for path in files()
        if (lines := len((SOURCE / path).read_text().splitlines())) > LINES_MAX
    }
    assert long == {}


def test_every_file_says_what_it_is_for() -> None:
    assert [str(path) for path in files() if not ast.get_docstring(tree(path))] == []


def test_no_promises_are_left() -> None:
    """No stub, no TODO: what is here works."""
    words = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", "XX" + "X")
    wrong = [
        f"{path}: {word}"
        for path in files()
        for word in words
        if word in (SOURCE / path).read_text()
    ]
    assert wrong == []
