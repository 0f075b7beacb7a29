"""Refusals of a node, with java-tron's codes and exception classes."""

from typing import ClassVar, Final

EXCEPTIONS: Final = "org.tron.core.exception."


class Refusal(Exception):
    """A transaction or request that the node does not accept."""

    code: ClassVar[str] = "OTHER_ERROR"
    prefix: ClassVar[str] = "Error: "
    java: ClassVar[str] = "java.lang.Exception"
    fixed: ClassVar[str | None] = None
    """The whole broadcast message, where java-tron does not tell the cause."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text

    @property
    def message(self) -> str:
        """The message of a refused broadcast."""
        return self.fixed if self.fixed is not None else self.prefix + self.text

    @property
    def error(self) -> str:
        """The text under ``Error`` of a refused request."""
        return f"class {self.java} : {self.text}"


class SignatureInvalid(Refusal):
    """The signatures do not satisfy the permission."""

    code = "SIGERROR"
    prefix = "Validate signature error: "
    java = EXCEPTIONS + "ValidateSignatureException"


class ContractInvalid(Refusal):
    """The contract cannot be executed on this state; nothing is charged."""

    code = "CONTRACT_VALIDATE_ERROR"
    prefix = "Contract validate error : "
    java = EXCEPTIONS + "ContractValidateException"


class ContractFailed(Refusal):
    """The execution failed in a way that keeps the transaction out of a block."""

    code = "CONTRACT_EXE_ERROR"
    prefix = "Contract execute error : "
    java = EXCEPTIONS + "ContractExeException"


class ResourceInsufficient(Refusal):
    """The account cannot pay bandwidth, the multisig fee or the memo fee."""

    code = "BANDWITH_ERROR"
    fixed = "Account resource insufficient error."
    java = EXCEPTIONS + "AccountResourceInsufficientException"


class Duplicate(Refusal):
    """This node has the transaction."""

    code = "DUP_TRANSACTION_ERROR"
    fixed = "Dup transaction."


class AlreadyExists(Refusal):
    """The id cache of this node has seen the transaction."""

    code = "DUP_TRANSACTION_ERROR"
    fixed = "Transaction already exists."


class TaposInvalid(Refusal):
    """The reference block is not on this chain."""

    code = "TAPOS_ERROR"
    fixed = "Tapos check error."


class TooBig(Refusal):
    """The transaction has too many bytes."""

    code = "TOO_BIG_TRANSACTION_ERROR"
    prefix = ""


class Expired(Refusal):
    """Expired, or expiring too far ahead."""

    code = "TRANSACTION_EXPIRATION_ERROR"
    fixed = "Transaction expired"


class Busy(Refusal):
    """Too many transactions are pending."""

    code = "SERVER_BUSY"
    fixed = "Server busy."


class BadRequest(Refusal):
    """The request cannot be read; `java` names the class of the parser's exception."""

    def __init__(self, text: str, java: str = EXCEPTIONS + "BadItemException") -> None:
        super().__init__(text)
        self._java = java

    @property
    def error(self) -> str:
        return f"class {self._java} : {self.text}"


PARSE: Final = "org.tron.core.services.http.JsonFormat$ParseException"


def parse_error(text: str) -> BadRequest:
    """java-tron's complaint about a field of the body."""
    return BadRequest(text, PARSE)
