"""`python -m tron_payment` serves."""

import gc

from tron_payment.cli import main

if __name__ == "__main__":
    gc.disable()  # nearly all that a start makes stays; `serve` enables it before it listens
    main(["serve"])
