// While a payment is under way: is told how it stands, says the news, then shows its page.
"use strict";
(() => {
  const news = document.querySelector("[data-ask]");
  if (!news) return;
  const events = new EventSource(news.dataset.ask);

  events.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.message === news.textContent) return;
    news.textContent = told.message;
    // What waits for a worker, or for the PIN, has the same page.
    if (told.is_open && told.state !== "unknown") return;
    events.close();
    // Time for a screen reader to say it.
    setTimeout(() => location.reload(), 1200);
  };
  // A connection that broke is made anew by itself. The address may be a day old, or the database away.
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
  addEventListener("pagehide", () => events.close());
})();
