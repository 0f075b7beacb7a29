"""Taking a long list piece by piece, so that what waits at its front starves nothing behind."""


class Round:
    """Where the next piece begins; from the start again after the last piece.

    What leaves the list meanwhile moves others forward: they come in the next round.
    """

    def __init__(self) -> None:
        self.skip = 0

    def took(self, count: int, at_once: int) -> None:
        """A piece of `count` was taken, of `at_once` that it may have at most."""
        self.skip = self.skip + count if count >= at_once else 0
