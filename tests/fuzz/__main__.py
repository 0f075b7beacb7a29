"""`python -m tests.fuzz`: see run.py."""

import asyncio
import sys

from tests.fuzz.run import main

if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
