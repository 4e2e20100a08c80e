// Copying, the answer's dialog, and pausing the live log. All pages work without it, but for these.
"use strict";

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const source = document.querySelector(copy.dataset.copy);
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    const label = copy.textContent;
    copy.textContent = copy.dataset.copied;
    setTimeout(() => { copy.textContent = label; }, 1500);
  }
  const close = event.target.closest("[data-close]");
  if (close) close.closest("dialog").close();
});

// On a narrow screen the menus scroll: begin where the reader is.
for (const here of document.querySelectorAll("nav [aria-current]")) {
  const menu = here.parentElement;
  menu.scrollLeft = here.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2;
}

const dialog = document.getElementById("dialog");

if (dialog) {
  // Without this script an answer comes with the page; with it, it is a dialog that keeps the focus.
  if (dialog.open) {
    dialog.close();
    dialog.showModal();
  }
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "answer" && !dialog.open) dialog.showModal();
  });
  dialog.addEventListener("close", () => {
    htmx.ajax("GET", location.pathname, {
      target: "#history-part", select: "#history-part", swap: "outerHTML",
    });
  });
}

// A form whose answer cannot be shown in its place: the page says what is wrong, when loaded anew.
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.elt.matches("form")) location.reload();
});

const log = document.getElementById("log");

if (log) {
  document.addEventListener("htmx:afterSwap", () => {
    for (const old of [...log.querySelectorAll(".entry")].slice(200)) old.remove();
  });
}

const pause = document.getElementById("pause");

if (pause) {
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (pause.checked && event.target.matches(".next")) event.preventDefault();
  });
}
