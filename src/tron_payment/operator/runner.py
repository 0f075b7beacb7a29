"""Runs one operator's command: configuration, guard, work, report."""

import argparse
import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr
from pymongo.errors import PyMongoError

from tron_payment import configuration, egress, logs
from tron_payment.core.address import Address
from tron_payment.core.errors import AppError, Unavailable
from tron_payment.operator import COMMANDS
from tron_payment.operator.report import Exit, Report, failure, misconfigured
from tron_payment.settings import ConfigurationError, Network, Settings

if TYPE_CHECKING:
    from tron_payment.assembly import Assembly


def run(arguments: argparse.Namespace) -> int:
    """Do it; the exit code."""
    logs.configure(json=not sys.stderr.isatty(), level="WARNING")
    return _report(arguments).show(as_json=arguments.json)


def _report(arguments: argparse.Namespace) -> Report:
    command = COMMANDS[arguments.command]
    module, _, function = command.work.partition(":")
    work = getattr(importlib.import_module(f"tron_payment.operator.{module}"), function)
    try:
        settings = configuration.load()
    except ConfigurationError as error:
        if command.without_configuration:
            report: Report = asyncio.run(work(arguments, None))
            return report
        return misconfigured(error.problems)
    try:
        done: Report = egress.run(settings, work(arguments, settings))
    except ConfigurationError as error:
        return misconfigured(error.problems)
    except TimeoutError:
        return failure("unavailable", "no answer in time", Exit.UNAVAILABLE)
    except Unavailable as error:
        return failure(error.code, error.detail, Exit.UNAVAILABLE)
    except AppError as error:
        return failure(error.code, error.detail, Exit.FAILED)
    except (PyMongoError, OSError) as error:
        return failure("unavailable", f"{type(error).__name__}: {error}", Exit.UNAVAILABLE)
    return done


@asynccontextmanager
async def reachable(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with a store to connect to: in development the embedded one, if need be."""
    if not settings.is_development:
        yield settings
        return
    from tron_payment.db.embedded import EmbeddedMongod
    from tron_payment.development import with_secrets

    settings = with_secrets(settings)
    if settings.mongo_uri.get_secret_value():
        yield settings
        return
    server = EmbeddedMongod(settings.var_dir / "mongodb", settings.embedded_mongo_port)
    uri = SecretStr(await server.start())
    try:
        yield settings.model_copy(update={"mongodb_uri": uri})
    finally:
        await server.stop()


async def _prefer_treasury(settings: Settings, assembly: "Assembly") -> None:
    """Commands beside `make run` pay from the wallet that it pays from, and make none."""
    from tron_payment.development import TREASURY
    from tron_payment.wallets import Wallets

    wallets = assembly.house.use(Wallets)
    if settings.is_development and settings.tron_network is Network.DEVNET:
        treasury = await wallets.of_service(TREASURY)
        if treasury is not None and wallets.default_address is None:
            wallets.default_address = Address(treasury.address)


@asynccontextmanager
async def assembled(settings: Settings, *, loops: bool = False) -> "AsyncIterator[Assembly]":
    """The whole service without its HTTP; with `loops` it also does its work, like a replica."""
    from tron_payment.serve import running

    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(reachable(settings))
        assembly = await stack.enter_async_context(running(ours))
        for module in assembly.modules:
            if module.start is not None:
                await module.start()
        await _prefer_treasury(ours, assembly)
        if loops:
            assembly.loops.start()
            stack.push_async_callback(assembly.loops.stop)
        yield assembly
