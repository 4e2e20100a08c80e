"use strict";

// Asks where the payment stands until that is known; the page is then loaded anew.
(function () {
  const box = document.querySelector("[data-mpesa-status]");
  if (!box) return;
  const text = box.querySelector("[data-mpesa-message]");

  async function ask() {
    const answer = await fetch(box.dataset.mpesaStatus).catch(() => null); // null: offline just now
    if (answer && answer.ok) {
      const told = await answer.json();
      if (text.textContent !== told.message) text.textContent = told.message;
      if (!told.is_open) {
        window.setTimeout(() => window.location.reload(), 1200); // time for a screen reader to say it
        return;
      }
    }
    if (!answer || answer.status !== 404) window.setTimeout(ask, 2000);
  }

  window.setTimeout(ask, 1000);
})();
