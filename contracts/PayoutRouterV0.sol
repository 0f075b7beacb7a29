// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {PayoutRouter} from "./PayoutRouter.sol";

/// The router for recipients without KYC: an operator's word is enough.
contract PayoutRouterV0 is PayoutRouter {
    constructor(
        address token_,
        address owner_,
        address treasury_,
        address operator_
    ) PayoutRouter(token_, owner_, treasury_, operator_) {}

    /// Pay one; when its reference is taken, say so with `Skipped` and pay nothing.
    function pay(bytes32 ref, address to, uint256 amount) external onlyOperator whenNotPaused {
        _requireBalance(_payUnlessTaken(ref, to, amount, _available()));
    }

    /// Pay many, in order. Taken references are skipped; anything else wrong reverts the whole.
    function payMany(
        bytes32[] calldata refs,
        address[] calldata tos,
        uint256[] calldata amounts
    ) external onlyOperator whenNotPaused {
        uint256 length = refs.length;
        _requireBatch(length);
        if (tos.length != length || amounts.length != length) revert InvalidBatch(length);
        uint256 available = _available();
        for (uint256 i = 0; i < length; ++i) {
            available = _payUnlessTaken(refs[i], tos[i], amounts[i], available);
        }
        _requireBalance(available);
    }

    function _payUnlessTaken(
        bytes32 ref,
        address to,
        uint256 amount,
        uint256 available
    ) private returns (uint256) {
        bytes32 id = paymentId(ref, to, amount);
        return _skipped(id) ? available : _pay(id, to, amount, available);
    }
}
