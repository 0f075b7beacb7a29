// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {IUSDT} from "./IUSDT.sol";

/// Pays USDT out of its own balance; a reference is paid once, or cancelled, for ever.
///
/// The caller gives a 32-byte reference per payment. The id is computed here:
///
///     reference hash = keccak256(REFERENCE_DOMAIN, chain id, router, token, reference)
///     payment hash   = keccak256(PAYMENT_DOMAIN, reference hash, recipient, amount)
///     id             = first 16 bytes of reference hash, last 16 bytes of payment hash
///
/// The first half is the slot: one reference has one slot, whatever recipient and amount are tried
/// with it. The second half, kept in the slot, says which payment took it. So `paid(id)` is true
/// for exactly one recipient and amount, and a cancelled id closes its reference altogether.
abstract contract PayoutRouter is Ownable2Step, Pausable {
    bytes32 public constant REFERENCE_DOMAIN = keccak256("tron-payment.PayoutRouter.reference.v1");
    bytes32 public constant PAYMENT_DOMAIN = keccak256("tron-payment.PayoutRouter.payment.v1");

    /// What a slot holds when its reference was cancelled; no id is ever equal to it.
    bytes32 public constant CANCELED = bytes32(uint256(1));

    /// Most payments of one call.
    uint256 public constant MAX_BATCH = 200;

    IUSDT public immutable token;

    /// The only place a withdrawal can go. It may withdraw by itself, should the owner's key be lost.
    address public immutable treasury;

    mapping(address account => bool) public isOperator;
    mapping(bytes16 slot => bytes32 taken) private _slots;

    event Paid(bytes32 indexed id, address indexed to, uint256 amount);
    event Skipped(bytes32 indexed id);
    event Canceled(bytes32 indexed id);
    event Withdrawn(address indexed by, uint256 amount);
    event OperatorSet(address indexed account, bool allowed);

    error NotOperator(address account);
    error NotOwnerOrOperator(address account);
    error NotOwnerOrTreasury(address account);
    error OwnerRequired();
    error InvalidSetting();
    error InvalidBatch(uint256 length);
    error InvalidId(bytes32 id);
    error InvalidRecipient(bytes32 id, address to);
    error InvalidAmount(bytes32 id);
    error InsufficientFunds(bytes32 id, uint256 available, uint256 amount);
    error NotDelivered(bytes32 id, address to, uint256 amount);
    error BalanceMismatch(uint256 expected, uint256 actual);
    error AlreadyPaid(bytes32 id);

    modifier onlyOperator() {
        if (!isOperator[msg.sender]) revert NotOperator(msg.sender);
        _;
    }

    modifier onlyOwnerOrOperator() {
        if (msg.sender != owner() && !isOperator[msg.sender]) revert NotOwnerOrOperator(msg.sender);
        _;
    }

    constructor(
        address token_,
        address owner_,
        address treasury_,
        address operator_
    ) Ownable(owner_) {
        if (token_.code.length == 0) revert InvalidSetting();
        if (treasury_ == address(0) || treasury_ == token_ || treasury_ == address(this)) {
            revert InvalidSetting();
        }
        token = IUSDT(token_);
        treasury = treasury_;
        _setOperator(operator_, true);
    }

    // ------------------------------------------------------------------ what anybody may ask

    /// The id of a payment on this chain, through this router, in this token.
    function paymentId(bytes32 ref, address to, uint256 amount) public view returns (bytes32) {
        bytes32 referenceHash = keccak256(
            abi.encode(REFERENCE_DOMAIN, block.chainid, address(this), address(token), ref)
        );
        bytes32 paymentHash = keccak256(abi.encode(PAYMENT_DOMAIN, referenceHash, to, amount));
        return bytes32(bytes16(referenceHash)) | (paymentHash & bytes32(uint256(type(uint128).max)));
    }

    /// True when exactly this payment was made: this reference, this recipient, this amount.
    function paid(bytes32 id) external view returns (bool) {
        return uint256(id) > uint256(CANCELED) && _slots[bytes16(id)] == id;
    }

    /// True when nothing was and nothing will ever be paid under this id's reference.
    function canceled(bytes32 id) external view returns (bool) {
        return _slots[bytes16(id)] == CANCELED;
    }

    /// What took the reference of this id: 0 (open), `CANCELED`, or the id that was paid.
    function takenBy(bytes32 id) external view returns (bytes32) {
        return _slots[bytes16(id)];
    }

    // ------------------------------------------------------------------ operators

    /// Close the reference of this id for ever, without paying. Works while paused, and again.
    function cancel(bytes32 id) external onlyOwnerOrOperator {
        if (uint256(id) <= uint256(CANCELED)) revert InvalidId(id);
        bytes32 taken = _slots[bytes16(id)];
        if (taken != 0 && taken != CANCELED) revert AlreadyPaid(taken);
        _slots[bytes16(id)] = CANCELED;
        emit Canceled(id);
    }

    /// Stop all payments. Anybody who may pay may stop; only the owner starts again.
    function pause() external onlyOwnerOrOperator {
        _pause();
    }

    // ------------------------------------------------------------------ owner

    function unpause() external onlyOwner {
        _unpause();
    }

    function setOperator(address account, bool allowed) external onlyOwner {
        _setOperator(account, allowed);
    }

    /// Send USDT back to the treasury. Works while paused and with a fee switched on.
    function withdraw(uint256 amount) external {
        if (msg.sender != owner() && msg.sender != treasury) revert NotOwnerOrTreasury(msg.sender);
        uint256 before = token.balanceOf(address(this));
        if (amount == 0) revert InvalidAmount(0);
        if (amount > before) revert InsufficientFunds(0, before, amount);
        token.transfer(treasury, amount);
        _requireBalance(before - amount);
        emit Withdrawn(msg.sender, amount);
    }

    /// A router without an owner could never be unpaused; ownership is only handed over.
    function renounceOwnership() public pure override {
        revert OwnerRequired();
    }

    // ------------------------------------------------------------------ for the routers

    function _available() internal view returns (uint256) {
        return token.balanceOf(address(this));
    }

    /// The router must hold what the payments left of it, not a unit more or less.
    function _requireBalance(uint256 expected) internal view {
        uint256 actual = token.balanceOf(address(this));
        if (actual != expected) revert BalanceMismatch(expected, actual);
    }

    function _requireBatch(uint256 length) internal pure {
        if (length == 0 || length > MAX_BATCH) revert InvalidBatch(length);
    }

    /// True, with an event, when the reference of this id is taken already: nothing to do.
    function _skipped(bytes32 id) internal returns (bool) {
        if (_slots[bytes16(id)] == 0) return false;
        emit Skipped(id);
        return true;
    }

    /// Take the slot, then pay. `id` is open and belongs to `to` and `amount`.
    /// @return what is left of `available`.
    function _pay(
        bytes32 id,
        address to,
        uint256 amount,
        uint256 available
    ) internal returns (uint256) {
        if (to == address(0) || to == address(token) || to == address(this)) {
            revert InvalidRecipient(id, to);
        }
        if (amount == 0) revert InvalidAmount(id);
        if (amount > available) revert InsufficientFunds(id, available, amount);

        _slots[bytes16(id)] = id;

        uint256 before = token.balanceOf(to);
        token.transfer(to, amount);
        if (token.balanceOf(to) != before + amount) revert NotDelivered(id, to, amount);

        emit Paid(id, to, amount);
        return available - amount;
    }

    function _setOperator(address account, bool allowed) private {
        if (account == address(0)) revert InvalidSetting();
        isOperator[account] = allowed;
        emit OperatorSet(account, allowed);
    }
}
