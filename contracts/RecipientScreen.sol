// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// What the chain says about many recipients, in one answer. Never deployed: the service has a node
/// simulate its creation (a constant call without contract address), and what the constructor
/// "returns as code" is the answer, one byte for each recipient:
///
///     1   code lives at the address
///     2   the token's issuer has blacklisted it
///     4   the token does not tell
///
/// The token's answer is read by hand: a token that answers nonsense makes a 4, never a revert.
contract RecipientScreen {
    uint8 private constant IS_CONTRACT = 1;
    uint8 private constant IS_BLACKLISTED = 2;
    uint8 private constant NOT_TOLD = 4;

    constructor(address token, address[] memory recipients) {
        bytes memory answer = new bytes(recipients.length);
        for (uint256 i = 0; i < recipients.length; ++i) {
            address recipient = recipients[i];
            uint8 flags = recipient.code.length == 0 ? 0 : IS_CONTRACT;
            (bool ok, bytes memory told) =
                token.staticcall(abi.encodeWithSignature("isBlackListed(address)", recipient));
            if (!ok || told.length < 32) {
                flags |= NOT_TOLD;
            } else if (abi.decode(told, (uint256)) != 0) {
                flags |= IS_BLACKLISTED;
            }
            answer[i] = bytes1(flags);
        }
        assembly ("memory-safe") {
            return(add(answer, 32), mload(answer))
        }
    }
}
