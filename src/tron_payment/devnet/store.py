"""The chain on disk: SQLite in WAL mode, one transaction per block, committed before it is served.

A process that is killed at any moment finds its last served block again. Without a folder the
same tables live in memory.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, id BLOB NOT NULL, body BLOB NOT NULL,
    undo BLOB);
CREATE TABLE IF NOT EXISTS transactions (txid BLOB PRIMARY KEY, number INTEGER NOT NULL,
    position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS involved (address BLOB, number INTEGER, position INTEGER, role TEXT,
    PRIMARY KEY (address, number, position, role)) WITHOUT ROWID;
"""
FILE: Final = "chain.sqlite3"
LOCK_WAIT_S: Final = 1.0


class FolderInUse(Exception):
    """Another process keeps its chain there."""


class Store:
    """Rows in and out; knows nothing of their meaning."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        path = ":memory:" if folder is None else str(folder / FILE)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=LOCK_WAIT_S)
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")  # two devnets never share a folder
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            self._db.close()
            raise FolderInUse(f"{folder} is used by another devnet ({error})") from error

    def close(self) -> None:
        self._db.close()

    def meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def load(self, key: bytes) -> bytes | None:
        """One value of the state."""
        row = self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def add_block(
        self,
        number: int,
        block_id: bytes,
        body: bytes,
        undo: bytes,
        writes: Iterable[tuple[bytes, bytes | None]],
        txids: Iterable[bytes],
        involved: Iterable[tuple[bytes, int, str]],
        forget_undo: tuple[int, int],
    ) -> None:
        """Append a block and apply its writes, all or nothing.

        Args:
            forget_undo: First height, and the one after the last, whose undo logs go.
        """
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", (number, block_id, body, undo))
            db.executemany(
                "INSERT INTO transactions VALUES (?, ?, ?)",
                ((txid, number, position) for position, txid in enumerate(txids)),
            )
            db.executemany(
                "INSERT OR IGNORE INTO involved VALUES (?, ?, ?, ?)",
                ((address, number, position, role) for address, position, role in involved),
            )
            self._apply(writes)
            db.execute(
                "UPDATE blocks SET undo = NULL WHERE number >= ? AND number < ?", forget_undo
            )
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def take_back(self, number: int, writes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Remove the head block `number` and restore the values it replaced."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            for table in ("blocks", "transactions", "involved"):
                db.execute(f"DELETE FROM {table} WHERE number = ?", (number,))  # noqa: S608
            self._apply(writes)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def _apply(self, writes: Iterable[tuple[bytes, bytes | None]]) -> None:
        puts, deletes = [], []
        for key, value in writes:
            if value is None:
                deletes.append((key,))
            else:
                puts.append((key, value))
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", puts)
        self._db.executemany("DELETE FROM state WHERE key = ?", deletes)

    def head(self) -> int | None:
        row = self._db.execute("SELECT max(number) FROM blocks").fetchone()
        return None if row[0] is None else int(row[0])

    def block(self, number: int) -> bytes | None:
        row = self._db.execute("SELECT body FROM blocks WHERE number = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def undos(self, lowest: int) -> list[tuple[int, bytes]]:
        """The undo logs from a height on, oldest first."""
        rows = self._db.execute(
            "SELECT number, undo FROM blocks WHERE number >= ? AND undo IS NOT NULL "
            "ORDER BY number",
            (lowest,),
        )
        return [(int(number), bytes(undo)) for number, undo in rows]

    def find(self, txid: bytes) -> tuple[int, int] | None:
        """(block number, position) of a transaction."""
        row = self._db.execute(
            "SELECT number, position FROM transactions WHERE txid = ?", (txid,)
        ).fetchone()
        return None if row is None else (int(row[0]), int(row[1]))

    def involving(
        self,
        address: bytes,
        roles: tuple[str, ...],
        *,
        descending: bool,
        lowest: int,
        highest: int,
    ) -> Iterable[tuple[int, int]]:
        """(block number, position) of transactions that name an address in one of the roles."""
        order = "DESC" if descending else "ASC"
        marks = ", ".join("?" * len(roles))
        rows = self._db.execute(
            f"SELECT DISTINCT number, position FROM involved WHERE address = ? "  # noqa: S608
            f"AND role IN ({marks}) AND number BETWEEN ? AND ? "
            f"ORDER BY number {order}, position {order}",
            (address, *roles, lowest, highest),
        )
        return ((int(number), int(position)) for number, position in rows)

    def snapshot(self, path: Path) -> None:
        """Copy the whole chain to a file."""
        with sqlite3.connect(path) as target:
            self._db.backup(target)

    def restore(self, path: Path) -> None:
        """Replace the whole chain by a copy."""
        with sqlite3.connect(path) as source:
            source.backup(self._db)
