"""``python -m tron_payment.devnet``."""

import sys

from tron_payment.devnet import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
