// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {PayoutRouter} from "./PayoutRouter.sol";

/// The router for verified recipients: the operator needs, for each payment, an attestation signed
/// by the compliance key over chain, router, token, reference, recipient, amount and expiry.
contract PayoutRouterKYC is PayoutRouter {
    bytes32 public constant ATTESTATION_DOMAIN =
        keccak256("tron-payment.PayoutRouterKYC.attestation.v1");

    /// One payment with its attestation; `r` and `vs` are the signature in ERC-2098's short form.
    struct Payment {
        bytes32 ref;
        address to;
        uint256 amount;
        uint256 expiry;
        bytes32 r;
        bytes32 vs;
    }

    address public complianceSigner;

    event ComplianceSignerChanged(address indexed previous, address indexed current);

    error AttestationExpired(bytes32 id, uint256 expiry);
    error AttestationInvalid(bytes32 id);

    constructor(
        address token_,
        address owner_,
        address treasury_,
        address operator_,
        address complianceSigner_
    ) PayoutRouter(token_, owner_, treasury_, operator_) {
        _setComplianceSigner(complianceSigner_);
    }

    /// The 32 bytes that the compliance key signs. `expiry` is in seconds of the chain's time, and
    /// is the last second in which the payment may be made.
    function attestationDigest(
        bytes32 ref,
        address to,
        uint256 amount,
        uint256 expiry
    ) public view returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    ATTESTATION_DOMAIN,
                    block.chainid,
                    address(this),
                    address(token),
                    ref,
                    to,
                    amount,
                    expiry
                )
            );
    }

    /// Pay one; when its reference is taken, say so with `Skipped` and pay nothing.
    function pay(Payment calldata payment) external onlyOperator whenNotPaused {
        _requireBalance(_payAttested(payment, _available()));
    }

    /// Pay many, in order. Taken references are skipped; anything else wrong reverts the whole.
    function payMany(Payment[] calldata payments) external onlyOperator whenNotPaused {
        uint256 length = payments.length;
        _requireBatch(length);
        uint256 available = _available();
        for (uint256 i = 0; i < length; ++i) {
            available = _payAttested(payments[i], available);
        }
        _requireBalance(available);
    }

    /// Attestations of the key before are void at once.
    function setComplianceSigner(address signer) external onlyOwner {
        _setComplianceSigner(signer);
    }

    function _payAttested(Payment calldata payment, uint256 available) private returns (uint256) {
        bytes32 id = paymentId(payment.ref, payment.to, payment.amount);
        if (_skipped(id)) return available;
        _requireAttested(id, payment);
        return _pay(id, payment.to, payment.amount, available);
    }

    function _requireAttested(bytes32 id, Payment calldata payment) private view {
        if (block.timestamp > payment.expiry) revert AttestationExpired(id, payment.expiry);
        bytes32 digest = attestationDigest(
            payment.ref,
            payment.to,
            payment.amount,
            payment.expiry
        );
        // Refuses the high half of s, and never answers the zero address without an error.
        (address signer, ECDSA.RecoverError error_, ) = ECDSA.tryRecover(
            digest,
            payment.r,
            payment.vs
        );
        if (error_ != ECDSA.RecoverError.NoError || signer != complianceSigner) {
            revert AttestationInvalid(id);
        }
    }

    function _setComplianceSigner(address signer) private {
        if (signer == address(0)) revert InvalidSetting();
        emit ComplianceSignerChanged(complianceSigner, signer);
        complianceSigner = signer;
    }
}
