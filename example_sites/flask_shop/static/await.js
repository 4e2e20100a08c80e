// While a payment is under way: asks where it stands, says the news, then shows its page.
"use strict";
(() => {
  const news = document.querySelector("[data-ask]");
  if (!news) return;
  let asked = 0;

  async function ask() {
    let found = null;
    try {
      const answer = await fetch(news.dataset.ask);
      if (answer.ok) found = await answer.json();
    } catch (error) {
      // No connection for a moment: the next question may get through.
    }
    if (found && found.status !== news.dataset.status) {
      news.querySelector("[data-say]").textContent = found.message;
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
