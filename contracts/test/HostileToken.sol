// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// A token that misbehaves as told, to try the routers with. For tests only.
contract HostileToken {
    mapping(address account => uint256) public balanceOf;

    /// What `transfer` does besides, or instead.
    uint256 public constant HONEST = 0;
    uint256 public constant LIES = 1; // moves nothing and answers true
    uint256 public constant REFUSES = 2; // moves nothing and answers false
    uint256 public constant KEEPS = 3; // credits one unit less than it debits
    uint256 public constant CHARGES = 4; // debits one unit more than it credits
    uint256 public constant REENTERS = 5; // calls back with `data`; reverts when that reverts
    uint256 public constant TRIES = 6; // calls back with `data`; goes on when that reverts

    uint256 public mode;
    bytes public data;
    bool public entered;
    bool public reentrySucceeded;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function set(uint256 mode_, bytes calldata data_) external {
        mode = mode_;
        data = data_;
        entered = false;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        if (mode == LIES) return true;
        if (mode == REFUSES) return false;
        if (mode >= REENTERS && !entered) {
            entered = true;
            (bool ok, bytes memory answer) = msg.sender.call(data);
            reentrySucceeded = ok;
            if (!ok && mode == REENTERS) {
                assembly {
                    revert(add(answer, 32), mload(answer))
                }
            }
        }
        balanceOf[msg.sender] -= mode == CHARGES ? amount + 1 : amount;
        balanceOf[to] += mode == KEEPS ? amount - 1 : amount;
        return true;
    }
}
