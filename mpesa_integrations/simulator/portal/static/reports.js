// Draws the chart of the Reports page from the numbers that came with it; keeps the period's fields
// from contradicting each other.
"use strict";

const canvas = document.getElementById("chart");

if (canvas) {
  const data = JSON.parse(canvas.dataset.chart);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const palette = ["success", "accepted", "cancelled", "expired", "duplicate", "failed", "validation",
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
        backgroundColor: colour(`--${row.key.replaceAll("_", "-")}`) || palette[index % palette.length],
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

const period = document.getElementById("period");
const moments = [document.getElementById("from"), document.getElementById("to")];

period.addEventListener("change", () => {
  if (period.value) for (const field of moments) field.value = "";
  else moments[0].focus();
});
for (const field of moments) field.addEventListener("input", () => { period.value = ""; });
