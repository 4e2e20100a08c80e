/* Draws the report's chart from the numbers that the page carries. */
"use strict";

(function () {
  const canvas = document.getElementById("mpesa-chart");
  const data = document.getElementById("mpesa-chart-data");
  if (!canvas || !data) {
    return;
  }
  const report = JSON.parse(data.textContent);
  const language = document.documentElement.lang || "en";
  const day = (text) =>
    new Date(`${text}T00:00`).toLocaleDateString(language, { day: "numeric", month: "short" });
  const theme = getComputedStyle(document.body);
  const text = theme.color;
  const grid = theme.getPropertyValue("--hairline-color") || "#e8e8e8";
  const fills = ["#2b6cb0", "#d69e2e", "#2c7a7b", "#9f7aea"]; // told apart by the colour-blind too
  const bars = report.payments.map((operation, number) => ({
    label: operation.label,
    data: operation.counts,
    backgroundColor: fills[number % fills.length],
    stack: "payments",
    yAxisID: "y",
    order: 2,
  }));
  const line = {
    type: "line",
    label: report.labels.success_rate,
    data: report.success_rate,
    borderColor: text,
    backgroundColor: text,
    borderWidth: 2,
    pointRadius: 2,
    spanGaps: true,
    clip: false,
    yAxisID: "rate",
    order: 1,
  };
  const axis = (title, more) => ({
    beginAtZero: true,
    title: { display: true, text: title, color: text },
    ticks: { color: text, precision: 0 },
    grid: { color: grid },
    ...more,
  });
  new Chart(canvas, {
    type: "bar",
    data: { labels: report.days.map(day), datasets: [line, ...bars] },
    options: {
      animation: false,
      locale: language,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { position: "bottom", labels: { color: text } } },
      scales: {
        x: { stacked: true, ticks: { color: text, maxRotation: 60 }, grid: { display: false } },
        y: axis(report.labels.payments, { stacked: true }),
        rate: axis(report.labels.success_rate, {
          position: "right",
          max: 100,
          grid: { drawOnChartArea: false },
        }),
      },
    },
  });
})();
