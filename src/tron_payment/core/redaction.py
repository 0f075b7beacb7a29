"""What has a secret in it does not tell it: not to logs, errors or a debugger."""


class Silent:
    """A mixin for structs, named first: the repr tells the type and nothing else."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<redacted>)"
