"""A state in dictionaries, for tests and for whoever runs contracts without a chain."""

from collections.abc import Callable

from tron_payment.devnet.tvm.interface import State


class MemoryState(State):
    """Accounts in memory with a journal.

    Attributes:
        accounts: Addresses that exist.
        factors: Dynamic energy factors times 10,000; set them freely.
        usages: Energy that counts towards them, by contract.
        versions: Contract versions other than 1.
    """

    def __init__(self) -> None:
        self.accounts: set[bytes] = set()
        self.factors: dict[bytes, int] = {}
        self.usages: dict[bytes, int] = {}
        self.versions: dict[bytes, int] = {}
        self._balances: dict[bytes, int] = {}
        self._codes: dict[bytes, bytes] = {}
        self._storage: dict[tuple[bytes, int], int] = {}
        self._journal: list[Callable[[], object]] = []
        self._written: set[tuple[bytes, int]] = set()

    def exists(self, address: bytes) -> bool:
        return address in self.accounts

    def create_account(self, address: bytes) -> None:
        if address not in self.accounts:
            self.accounts.add(address)
            self._journal.append(lambda: self.accounts.discard(address))

    def balance(self, address: bytes) -> int:
        return self._balances.get(address, 0)

    def add_balance(self, address: bytes, delta: int) -> None:
        before = self.balance(address)
        assert before + delta >= 0, "nobody spends what he does not have"
        self.create_account(address)
        self._balances[address] = before + delta
        self._journal.append(lambda: self._balances.__setitem__(address, before))

    def code(self, address: bytes) -> bytes:
        return self._codes.get(address, b"")

    def set_code(self, address: bytes, code: bytes) -> None:
        before = self.code(address)
        self.create_account(address)
        self._codes[address] = code
        self._journal.append(lambda: self._codes.__setitem__(address, before))

    def storage(self, address: bytes, key: int) -> int | None:
        return self._storage.get((address, key))

    def set_storage(self, address: bytes, key: int, value: int) -> None:
        slot = (address, key)
        before = self._storage.get(slot)
        self._storage[slot] = value
        self._written.add(slot)
        if before is None:
            self._journal.append(lambda: self._storage.pop(slot, None))
        else:
            self._journal.append(lambda: self._storage.__setitem__(slot, before))

    def factor(self, address: bytes) -> int:
        return self.factors.get(address, 0)

    def add_usage(self, address: bytes, energy: int) -> None:
        before = self.usages.get(address, 0)
        self.usages[address] = before + energy
        self._journal.append(lambda: self.usages.__setitem__(address, before))

    def contract_version(self, address: bytes) -> int:
        return self.versions.get(address, 1)

    def question(self, number: int, caller: bytes, data: bytes) -> bytes:
        """There is no chain around it: nobody has stake, votes or permissions."""
        return bytes(32)

    def stake(self, action: str, owner: bytes, *arguments: int | bytes) -> int | None:
        """Refused: nobody can stake here."""
        return None

    def may_end(self, address: bytes) -> bool:
        return True

    def snapshot(self) -> int:
        return len(self._journal)

    def revert(self, snapshot: int) -> None:
        while len(self._journal) > snapshot:
            self._journal.pop()()

    def commit(self) -> None:
        """End a transaction: slots that hold 0 become absent, marks lose their meaning."""
        for slot in self._written:
            if self._storage.get(slot) == 0:
                del self._storage[slot]
        self._written.clear()
        self._journal.clear()
