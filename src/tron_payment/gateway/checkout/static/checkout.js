"use strict";
(function () {
  var page = document.getElementById("checkout");
  var live = document.getElementById("live");
  var base = "/checkout/" + encodeURIComponent(page.dataset.payment);
  var final = ["refunded"];
  var FEE_LIMIT_SUN = 50000000;
  var POLL_MS = 3000;
  var stream = null;
  var behind = Date.parse(page.dataset.now) - Date.now();  // this computer's clock may be wrong
  var shown = live.innerHTML;

  function each(selector, act) { live.querySelectorAll(selector).forEach(act); }

  function countdown() {
    each(".countdown", function (place) {
      var left = Math.floor((Date.parse(place.dataset.expires) - Date.now() - behind) / 1000);
      if (left <= 0) { place.textContent = "The time is over."; return; }
      var hours = Math.floor(left / 3600);
      var minutes = Math.floor(left / 60) % 60;
      var seconds = String(left % 60).padStart(2, "0");
      var text = hours ? hours + ":" + String(minutes).padStart(2, "0") : String(minutes);
      place.textContent = "Time left: " + text + ":" + seconds;
    });
  }

  function copy(event) {
    var button = event.currentTarget;
    navigator.clipboard.writeText(button.dataset.copy).then(function () {
      var before = button.innerHTML;
      button.textContent = "Copied";
      setTimeout(function () { button.innerHTML = before; }, 2000);
    });
  }

  function wallet() {
    var link = window.tronLink;
    return link ? { link: link, web: link.tronWeb || window.tronWeb } : null;
  }

  function note(text) {
    var place = document.getElementById("tronlink-note");
    if (place) { place.textContent = text; }
  }

  async function pay(event) {
    var button = event.currentTarget;
    var wanted = button.dataset;
    button.disabled = true;
    note("Confirm the payment in TronLink.");
    try {
      var granted = await window.tronLink.request({ method: "tron_requestAccounts" });
      if (!granted || granted.code !== 200) { throw new Error("declined"); }
      var web = wallet().web;
      var from = web.defaultAddress.base58;
      var transaction;
      if (wanted.token) {
        var made = await web.transactionBuilder.triggerSmartContract(
          wanted.token, "transfer(address,uint256)", { feeLimit: FEE_LIMIT_SUN },
          [{ type: "address", value: wanted.to }, { type: "uint256", value: wanted.units }], from);
        transaction = made.transaction;
      } else {
        transaction = await web.transactionBuilder.sendTrx(wanted.to, Number(wanted.units), from);
      }
      var signed = await web.trx.sign(transaction);
      var answer = await web.trx.sendRawTransaction(signed);
      if (!answer.result) { throw new Error("refused"); }
      note("Sent. This page turns as soon as it is seen in a block.");
    } catch (problem) {
      button.disabled = false;
      note("It was not sent. You can try again, or pay by the address above.");
    }
  }

  function offer() {
    var button = document.getElementById("tronlink");
    if (button && wallet() && button.hidden) {
      button.hidden = false;
      button.addEventListener("click", pay);
    }
  }

  function bind() {
    if (navigator.clipboard) {
      each(".copy", function (button) {
        button.hidden = false;
        button.addEventListener("click", copy);
      });
    }
    offer();
    countdown();
  }

  function show(state) {
    if (shown !== state.html) {
      live.innerHTML = state.html;
      shown = state.html;
      page.dataset.status = state.status;
      document.title = state.amount + " " + state.currency + " \u2013 " +
        live.querySelector(".headline").textContent;
      bind();
    }
    if (final.indexOf(state.status) >= 0 && stream) { stream.close(); }
  }

  function poll() {
    fetch(base + "/status", { headers: { accept: "application/json" } })
      .then(function (answer) { return answer.json(); })
      .then(show)
      .catch(function () {})
      .then(function () { setTimeout(poll, POLL_MS); });
  }

  bind();
  setInterval(countdown, 1000);
  window.addEventListener("tronLink#initialized", offer);
  [300, 1000, 3000].forEach(function (wait) { setTimeout(offer, wait); });
  if (window.EventSource) {
    stream = new EventSource(base + "/events");
    stream.addEventListener("invoice", function (event) { show(JSON.parse(event.data)); });
    stream.addEventListener("error", function () {
      if (stream.readyState === EventSource.CLOSED) { setTimeout(poll, POLL_MS); }
    });
  } else {
    setTimeout(poll, POLL_MS);
  }
})();
