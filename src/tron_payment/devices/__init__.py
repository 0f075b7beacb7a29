"""Ledger and Trezor: an optional extra for the computer that has the device.

device = LedgerWallet(HidTransport)
plan = device.check(raw)                     # what its screen will show; no device is asked
signature = await device.sign("m/44'/195'/0'/0/0", raw, expect=address)

The agent beside the device is the main way; a server with USB may use one directly (direct.py).
ledgerblue and trezorlib are imported when they are used.
"""

from tron_payment.devices.agent import Agent, Outcome, Tokens
from tron_payment.devices.direct import DirectSigner, direct_loops
from tron_payment.devices.errors import DeviceError
from tron_payment.devices.ledger import LedgerWallet
from tron_payment.devices.ledger_transport import HidTransport, TcpTransport
from tron_payment.devices.plan import Clarity, SignPlan
from tron_payment.devices.service_client import ServiceClient
from tron_payment.devices.trezor import TrezorWallet
from tron_payment.devices.wallet import DeviceInfo, HardwareWallet

__all__ = [
    "Agent",
    "Clarity",
    "DeviceError",
    "DeviceInfo",
    "DirectSigner",
    "HardwareWallet",
    "HidTransport",
    "LedgerWallet",
    "Outcome",
    "ServiceClient",
    "SignPlan",
    "TcpTransport",
    "Tokens",
    "TrezorWallet",
    "direct_loops",
]
