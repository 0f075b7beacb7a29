"""`python -m tron_payment` serves."""

from tron_payment.cli import main

if __name__ == "__main__":
    main(["serve"])
