// Draws the chart of the Reports page from the numbers that came with it.
"use strict";

const canvas = document.getElementById("chart");

if (canvas) {
  const data = JSON.parse(canvas.dataset.chart);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const palette = ["success", "accepted", "cancelled", "duplicate", "failed", "validation",
    "authentication", "unknown", "not-accepted"].map((name) => colour(`--${name}`));
  Chart.defaults.color = colour("--ink");
  Chart.defaults.borderColor = colour("--line");
  Chart.defaults.font.family = style.fontFamily;
  new Chart(canvas, {
    type: "bar",
    data: {
      labels: data.labels,
      datasets: data.series.map((row, index) => ({
        label: row.name,
        data: row.counts,
        backgroundColor: colour(`--${row.key.replace("_", "-")}`) || palette[index % palette.length],
      })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      scales: {
        x: { stacked: true, grid: { display: false }, ticks: { maxRotation: 0 } },
        y: { stacked: true, beginAtZero: true, ticks: { precision: 0 },
             title: { display: true, text: data.axis } },
      },
      plugins: { legend: { position: "bottom", labels: { boxWidth: 12 } } },
    },
  });
}
