// Copying, dialogs, and what the live log does by itself. All pages work without it, but for these.
"use strict";

function showCopied(button) {
  const label = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = label; }, 1500);
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const source = document.querySelector(copy.dataset.copy);
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    showCopied(copy);
  }
  const from = event.target.closest("[data-copy-from]");
  if (from) {
    event.preventDefault();
    const answer = await fetch(from.href);
    await navigator.clipboard.writeText(await answer.text());
    showCopied(from);
  }
  const opens = event.target.closest("[data-opens]");
  if (opens) {
    event.preventDefault();
    document.getElementById(opens.dataset.opens).showModal();
  }
  const close = event.target.closest("[data-close]");
  if (close?.closest("dialog")) {
    event.preventDefault();
    close.closest("dialog").close();
  }
});

// On a narrow screen the menus scroll: begin where the reader is.
for (const here of document.querySelectorAll("nav [aria-current]")) {
  const menu = here.parentElement;
  menu.scrollLeft = here.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2;
}

const dialog = document.getElementById("dialog");
const REFERENCE = /("input_ThirdPartyReference"\s*:\s*)"[^"\\]*"/;

if (dialog) {
  let opener = null;
  const goBack = () => (document.getElementById(opener?.id) ?? opener)?.focus();
  // Without this script an answer comes with the page; with it, it is a dialog that keeps the focus.
  if (dialog.open) {
    dialog.close();
    dialog.showModal();
  }
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target.id === "answer" && !dialog.open) opener = document.activeElement;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "answer") return;
    const body = document.getElementById("body");
    const next = document.getElementById("next-reference");
    if (next) body.value = body.value.replace(REFERENCE, `$1"${next.textContent}"`);
    if (dialog.open) event.detail.target.focus();
    else dialog.showModal();
  });
  dialog.addEventListener("close", async () => {
    document.getElementById("answer")?.replaceChildren(); // what is still to come is asked for no more
    goBack();
    if (!document.getElementById("history-part")) return;
    await htmx.ajax("GET", location.pathname, {
      target: "#history-part", select: "#history-part", swap: "outerHTML",
    });
    if (document.activeElement === document.body) goBack();
  });
}

const form = document.getElementById("request");

// The resource that is called, as the header's fields have it.
form?.addEventListener("input", () => {
  const { address, port, path } = form.elements;
  // Not `form.method`: that is the form's own.
  form.querySelector(".resource .verb").textContent = form.elements.method.value;
  form.querySelector(".resource code").textContent = `https://${address.value}:${port.value}${path.value}`;
});

// A form whose answer cannot be shown in its place: the page says what is wrong, when loaded anew.
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.elt.matches("form")) location.reload();
});

// What is asked every second goes on asking, and says so while nobody answers.
const lost = document.getElementById("no-connection");

document.addEventListener("htmx:sendError", () => {
  if (!lost.hidden) return;
  lost.textContent = lost.dataset.text.replace("TIME", new Date().toLocaleTimeString(document.documentElement.lang));
  lost.hidden = false;
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.xhr?.status) lost.hidden = true;
});

// What the reader opened in the log stays open when there is news.
let opened = [];

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id === "entries") {
    opened = [...document.querySelectorAll(".entry[open]")].map((entry) => entry.id);
  }
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of opened.splice(0)) document.getElementById(id)?.setAttribute("open", "");
});
if (location.hash.startsWith("#entry-")) {
  document.querySelector(location.hash)?.setAttribute("open", "");
}

const pause = document.getElementById("pause");

if (pause) {
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (pause.checked && event.target.matches("#entries")) event.preventDefault();
  });
}
