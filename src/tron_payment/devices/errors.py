"""What goes wrong with a device, each with a sentence that says what to do.

The code is for programs; `detail`, or the class's own sentence, is for the person at the device.
"""

from tron_payment.core.errors import AppError


class DeviceError(AppError, code="device"):
    """The device did not do what was asked; nothing was signed."""

    status = 409


class DeviceNotFound(DeviceError, code="device_not_found"):
    """No device was found: connect it by USB, wake it up and unlock it, then try again."""


class DeviceLocked(DeviceError, code="device_locked"):
    """The device is locked: enter its PIN, then try again."""


class WrongApp(DeviceError, code="wrong_app"):
    """The TRON app is not open: open the app "Tron" on the device, then try again."""


class UserRefused(DeviceError, code="user_refused"):
    """It was refused on the device; nothing was signed. Ask again if that was a mistake."""


class DeviceTimeout(DeviceError, code="timeout"):
    """Nobody answered on the device in time; refuse what it still shows, then try again."""


class DeviceBusy(DeviceError, code="device_busy"):
    """The device is busy with another question or program: finish that one first."""


class PromptPending(DeviceError, code="prompt_pending"):
    """An earlier question is still on the device's screen: answer it there, then try again."""


class SettingRequired(DeviceError, code="setting_required"):
    """A setting of the device's TRON app is off."""


class DataSettingRequired(SettingRequired, code="setting_required:data"):
    """The transaction has a memo: allow "Transactions data" in the settings of the TRON app."""


class CustomContractsRequired(SettingRequired, code="setting_required:custom_contracts"):
    """The device does not know this contract: allow "Custom contracts" in the TRON app."""


class SignByHashRequired(SettingRequired, code="setting_required:sign_by_hash"):
    """The device can show only a hash of this: allow "Sign by hash" in the TRON app."""


class UnsupportedTransaction(DeviceError, code="unsupported_transaction"):
    """The device cannot sign this kind of transaction: sign it with another key."""


class NotAllowedByPolicy(DeviceError, code="blind_signing_not_allowed"):
    """The device would not show what this does: allow it only if you know what it is."""


class FirmwareTooOld(DeviceError, code="firmware_too_old"):
    """The device's software is too old for this: update it with its maker's program."""


class AddressMismatch(DeviceError, code="address_mismatch"):
    """This device has another address at this path: connect the right one, or say the path."""


class SignatureMismatch(DeviceError, code="signature_mismatch"):
    """The device has signed something else; its signature was thrown away. Do not repeat this
    before you know why."""


class DeviceDisconnected(DeviceError, code="device_disconnected"):
    """The device went away during the question: connect it and try again."""


class PathRefused(DeviceError, code="path_refused"):
    """The device does not give keys at this path: use one such as m/44'/195'/0'/0/0."""


class DeviceFault(DeviceError, code="device_fault"):
    """The device answered what it should not: reconnect it; update it if this comes again."""


class DriverMissing(DeviceError, code="device_driver_missing"):
    """The device's library is not installed: pip install "tron-payment[devices]"."""
