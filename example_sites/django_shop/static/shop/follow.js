// Asks how the payment stands, says what is new to screen readers too, and shows the page of it.
"use strict";
(() => {
  const place = document.querySelector("[data-ask]");
  if (!place) return;
  const message = place.querySelector("[data-message]");
  const began = Date.now();

  async function ask() {
    try {
      const answer = await fetch(place.dataset.ask, { headers: { Accept: "application/json" } });
      if (answer.status === 410) {
        location.reload(); // the page has been open for a day: it gets a new address to ask at
        return;
      }
      if (answer.ok) {
        const news = await answer.json();
        if (news.message !== message.textContent) {
          message.textContent = news.message;
          // Long enough for the news to be read out before the page goes.
          setTimeout(() => location.reload(), 1200);
          return;
        }
      }
    } catch (error) {
      // Offline for a moment: the next question may get through.
    }
    // Whoever types a PIN does so within a minute; after that there is no hurry.
    setTimeout(ask, Date.now() - began < 60000 ? 1000 : 5000);
  }

  ask();
})();
