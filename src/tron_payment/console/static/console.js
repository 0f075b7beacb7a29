// Everything works without this file; it fills in the copy buttons and shows
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

const here = document.querySelector("nav [aria-current]");
const menu = document.querySelector("nav");
if (here && menu) menu.scrollLeft = here.offsetLeft - menu.offsetLeft - menu.clientWidth / 2 + here.offsetWidth / 2;
