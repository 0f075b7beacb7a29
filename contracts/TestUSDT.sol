// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// The contract that a deprecated token hands its calls to.
interface IUpgradedToken {
    function totalSupply() external view returns (uint256);

    function balanceOf(address who) external view returns (uint256);

    function allowance(address holder, address spender) external view returns (uint256);

    function transferByLegacy(address from, address to, uint256 value) external returns (bool);

    function transferFromByLegacy(
        address caller,
        address from,
        address to,
        uint256 value
    ) external returns (bool);

    function approveByLegacy(
        address holder,
        address spender,
        uint256 value
    ) external returns (bool);
}

/// USDT as it behaves on TRON's main net, for tests and the devnet; never for real money.
///
/// What surprises is kept on purpose: `transfer` answers false when it succeeds, `transferFrom` and
/// `approve` answer true; receiving is allowed to the blacklisted; destroyed funds leave no Transfer.
contract TestUSDT {
    uint256 public constant MAX_UINT = type(uint256).max;
    uint256 private constant MAX_SETTABLE_BASIS_POINTS = 20;
    uint256 private constant MAX_SETTABLE_FEE = 50;
    uint256 private constant BASIS_POINTS = 10_000;

    string public name;
    string public symbol;
    uint8 public decimals;
    address public owner;
    bool public paused;
    bool public deprecated;
    address public upgradedAddress;
    uint256 public basisPointsRate;
    uint256 public maximumFee;
    mapping(address account => bool) public isBlackListed;

    uint256 private _totalSupply;
    mapping(address account => uint256) private _balances;
    mapping(address holder => mapping(address spender => uint256)) private _allowed;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event Issue(uint256 amount);
    event Redeem(uint256 amount);
    event Deprecate(address newAddress);
    event Params(uint256 feeBasisPoints, uint256 maxFee);
    event AddedBlackList(address indexed _user);
    event RemovedBlackList(address indexed _user);
    event DestroyedBlackFunds(address indexed _blackListedUser, uint256 _balance);
    event Pause();
    event Unpause();
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    modifier onlyOwner() {
        require(msg.sender == owner);
        _;
    }

    modifier whenNotPaused() {
        require(!paused);
        _;
    }

    constructor(
        uint256 initialSupply,
        string memory name_,
        string memory symbol_,
        uint8 decimals_
    ) {
        owner = msg.sender;
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
        _totalSupply = initialSupply;
        _balances[msg.sender] = initialSupply;
    }

    // ------------------------------------------------------------------ views

    function totalSupply() external view returns (uint256) {
        return deprecated ? IUpgradedToken(upgradedAddress).totalSupply() : _totalSupply;
    }

    function balanceOf(address who) public view returns (uint256) {
        return deprecated ? IUpgradedToken(upgradedAddress).balanceOf(who) : _balances[who];
    }

    function oldBalanceOf(address who) external view returns (uint256) {
        return deprecated ? _balances[who] : 0;
    }

    function allowance(address holder, address spender) external view returns (uint256) {
        if (deprecated) return IUpgradedToken(upgradedAddress).allowance(holder, spender);
        return _allowed[holder][spender];
    }

    function getBlackListStatus(address account) external view returns (bool) {
        return isBlackListed[account];
    }

    function calcFee(uint256 value) public view returns (uint256) {
        uint256 fee = (value * basisPointsRate) / BASIS_POINTS;
        return fee > maximumFee ? maximumFee : fee;
    }

    // ------------------------------------------------------------------ holders

    /// Answers false although it succeeds: the main-net source has no return statement here.
    function transfer(address to, uint256 value) external whenNotPaused returns (bool) {
        require(!isBlackListed[msg.sender]);
        if (deprecated) {
            return IUpgradedToken(upgradedAddress).transferByLegacy(msg.sender, to, value);
        }
        _move(msg.sender, to, value);
        return false;
    }

    function transferFrom(
        address from,
        address to,
        uint256 value
    ) external whenNotPaused returns (bool) {
        require(!isBlackListed[from]);
        if (deprecated) {
            return
                IUpgradedToken(upgradedAddress).transferFromByLegacy(msg.sender, from, to, value);
        }
        uint256 allowed = _allowed[from][msg.sender];
        require(value <= allowed);
        if (allowed < MAX_UINT) _allowed[from][msg.sender] = allowed - value;
        _move(from, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external whenNotPaused returns (bool) {
        if (deprecated) {
            return IUpgradedToken(upgradedAddress).approveByLegacy(msg.sender, spender, value);
        }
        _approve(spender, value);
        return true;
    }

    function increaseApproval(address spender, uint256 value) external whenNotPaused returns (bool) {
        _approve(spender, _allowed[msg.sender][spender] + value);
        return true;
    }

    function decreaseApproval(address spender, uint256 value) external whenNotPaused returns (bool) {
        uint256 allowed = _allowed[msg.sender][spender];
        _approve(spender, value > allowed ? 0 : allowed - value);
        return true;
    }

    // ------------------------------------------------------------------ owner

    function transferOwnership(address newOwner) external onlyOwner {
        require(newOwner != address(0));
        emit OwnershipTransferred(owner, newOwner);
        owner = newOwner;
    }

    function pause() external onlyOwner whenNotPaused {
        paused = true;
        emit Pause();
    }

    function unpause() external onlyOwner {
        require(paused);
        paused = false;
        emit Unpause();
    }

    function addBlackList(address account) external onlyOwner {
        isBlackListed[account] = true;
        emit AddedBlackList(account);
    }

    function removeBlackList(address account) external onlyOwner {
        isBlackListed[account] = false;
        emit RemovedBlackList(account);
    }

    /// Take everything a blacklisted account holds out of the world, without a Transfer event.
    function destroyBlackFunds(address account) external onlyOwner {
        require(isBlackListed[account]);
        uint256 funds = balanceOf(account);
        _balances[account] = 0;
        _totalSupply -= funds;
        emit DestroyedBlackFunds(account, funds);
    }

    /// Rate in basis points, below 20; the most one transfer costs in whole USDT, below 50.
    function setParams(uint256 newBasisPoints, uint256 newMaxFee) external onlyOwner {
        require(newBasisPoints < MAX_SETTABLE_BASIS_POINTS);
        require(newMaxFee < MAX_SETTABLE_FEE);
        basisPointsRate = newBasisPoints;
        maximumFee = newMaxFee * 10 ** decimals;
        emit Params(basisPointsRate, maximumFee);
    }

    function issue(uint256 amount) external onlyOwner {
        _balances[owner] += amount;
        _totalSupply += amount;
        emit Issue(amount);
        emit Transfer(address(0), owner, amount);
    }

    function redeem(uint256 amount) external onlyOwner {
        require(_balances[owner] >= amount);
        _balances[owner] -= amount;
        _totalSupply -= amount;
        emit Redeem(amount);
        emit Transfer(owner, address(0), amount);
    }

    function deprecate(address newAddress) external onlyOwner {
        require(newAddress != address(0));
        deprecated = true;
        upgradedAddress = newAddress;
        emit Deprecate(newAddress);
    }

    // ------------------------------------------------------------------ inside

    /// Debits `value`; credits it less the fee, which goes to the owner with its own Transfer.
    function _move(address from, address to, uint256 value) private {
        require(to != address(0));
        require(value <= _balances[from]);
        uint256 fee = calcFee(value);
        uint256 sent = value - fee;
        _balances[from] -= sent;
        _balances[to] += sent;
        emit Transfer(from, to, sent);
        if (fee > 0) {
            _balances[from] -= fee;
            _balances[owner] += fee;
            emit Transfer(from, owner, fee);
        }
    }

    function _approve(address spender, uint256 value) private {
        _allowed[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
    }
}
