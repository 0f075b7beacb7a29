// Everything works without this file: it keeps pages fresh, fills in the copy buttons and shows
// where one is in a menu that is wider than a phone.
async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await copyText(button.dataset.copy);
  button.textContent = "Copied";
  button.focus();
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// One stream for the page's part that changes; while there is none, the page asks again.
let stream = null;
let streaming = false;
let missed = false;

function livePart() { return document.querySelector("[data-live]"); }

// Nothing moves under somebody's hands: what changes meanwhile is shown when they are done.
function inUse(part) {
  return Boolean(part.contains(document.activeElement) && document.activeElement.closest("form, summary"));
}

function refresh() {
  const part = livePart();
  missed = Boolean(part && (inUse(part) || document.hidden));
  if (part && !missed && window.htmx) htmx.trigger(part, "changed");
}

document.addEventListener("htmx:beforeSwap", (event) => {  // asked for before, answered just now
  const { target } = event.detail;
  if (!target.matches("[data-live]") || !inUse(target)) return;
  event.detail.shouldSwap = false;
  missed = true;
});

function watch() {
  const part = livePart();
  if (!part || document.hidden) {
    if (stream) stream.close();
    stream = null;
    streaming = false;
    return;
  }
  if (stream && stream.readyState !== EventSource.CLOSED) return;
  stream = new EventSource("/console/live?page=" + encodeURIComponent(part.dataset.live));
  stream.onopen = () => { streaming = true; refresh(); };
  stream.onerror = () => { streaming = false; };
  stream.addEventListener("changed", refresh);
}

setInterval(() => {
  if (missed || !streaming) refresh();
  watch();
}, 3000);
document.addEventListener("visibilitychange", () => { watch(); refresh(); });
document.addEventListener("htmx:afterSettle", watch);
window.addEventListener("pagehide", () => { if (stream) stream.close(); });
watch();

function showHere() {
  const here = document.querySelector("nav [aria-current]");
  const menu = document.querySelector("nav");
  if (here && menu) menu.scrollLeft = here.offsetLeft - menu.offsetLeft - menu.clientWidth / 2 + here.offsetWidth / 2;
}

window.addEventListener("resize", showHere);
showHere();
