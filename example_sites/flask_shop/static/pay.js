// Shows at once that M-Pesa is asked, and sends the form once however often it is pressed.
"use strict";
for (const form of document.querySelectorAll("form[data-asking]")) {
  const button = form.querySelector("button");
  const status = form.querySelector("[role=status]");
  const words = button.textContent;

  form.addEventListener("submit", () => {
    button.disabled = true;
    button.textContent = form.dataset.asking;
    status.textContent = form.dataset.asking; // for screen readers
  });
  // Come back to by the browser's button, the page is as it was before.
  addEventListener("pageshow", () => {
    button.disabled = false;
    button.textContent = words;
    status.textContent = "";
  });
}
