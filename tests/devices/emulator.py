"""``python emulator.py ledger|trezor WORDS``: an emulated device as a process of its own.

Prints one line of JSON, {"port", "address"}, and serves until its input ends.
"""

import json
import sys

from keys_of_words import Words, address_of_key

PATH = (0x8000002C, 0x800000C3, 0x80000000, 0, 0)
ALLOWED = frozenset({"data", "custom_contracts"})


def main() -> None:
    kind, text = sys.argv[1:]
    words = Words(text)
    if kind == "ledger":
        from emulated_ledger import EmulatedLedger

        port = EmulatedLedger(words, ALLOWED).port
    else:
        from emulated_trezor import EmulatedTrezor

        port = EmulatedTrezor(words).port
    print(json.dumps({"port": port, "address": address_of_key(words.key(PATH))}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
