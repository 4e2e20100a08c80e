// While a payment is under way: asks how it stands, says the news, then shows its page.
"use strict";
(() => {
  const news = document.querySelector("[data-ask]");
  if (!news) return;
  const said = news.querySelector("[data-say]");
  let asked = 0;

  async function ask() {
    // No answer: there is no connection for a moment, and the next question may get through.
    const answer = await fetch(news.dataset.ask).catch(() => null);
    if (answer?.status === 410) {
      location.reload(); // after a day, for another address to ask at
      return;
    }
    const found = answer?.ok ? await answer.json().catch(() => null) : null;
    if (found && found.message !== said.textContent) {
      said.textContent = found.message;
      // Time for a screen reader to say it.
      setTimeout(() => location.reload(), 1200);
      return;
    }
    // A PIN is typed within a minute; then there is no hurry.
    asked += 1;
    setTimeout(ask, asked < 60 ? 1000 : 5000);
  }

  ask();
})();
