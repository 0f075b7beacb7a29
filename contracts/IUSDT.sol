// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// What the routers use of USDT.
///
/// TRON's USDT answers false to a transfer that succeeded, so `transfer` is declared without a
/// result: whatever it returns is ignored, and only balances are believed.
interface IUSDT {
    function balanceOf(address who) external view returns (uint256);

    function transfer(address to, uint256 amount) external;
}
