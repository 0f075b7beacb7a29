"""`release-factor`: let a person's new second factor count, for who has the host.

How the first admin comes to have one; after that, admins release each other's.
"""

import argparse

from tron_payment.core.errors import AppError
from tron_payment.http.step_up import StepUp
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings
from tron_payment.wallets import build_sealing


async def release(arguments: argparse.Namespace, settings: Settings) -> Report:
    """The audit log names the command line as who did it."""
    async with assembled(settings) as assembly:
        house = assembly.house
        step_up = StepUp(house.clock, build_sealing(settings), house.audit, required=True)
        try:
            await step_up.release(arguments.principal, arguments.fingerprint, None)
        except AppError as error:
            return failure(error.code, error.detail, Exit.FAILED)
    data = {"principal": arguments.principal, "released": True}
    return Report(data, [f"the second factor of {arguments.principal} counts"])
