// What pages do beyond what the server made them: times in the reader's zone, countdowns, selecting. Nothing here is
// needed to decide.
"use strict";

(() => {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

  // As the server says it.
  const span = (seconds) => {
    if (seconds <= 0) return "now";
    const [d, h, m, s] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
    let parts;
    if (d > 0) parts = [[d, d === 1 ? "day" : "days"], [h, "h"]];
    else if (h > 0) parts = [[h, "h"], [m, "min"]];
    else if (m > 0) parts = [[m, "min"], [m < 5 ? s : 0, "s"]];
    else parts = [[s, "s"]];
    return "in " + parts.filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(" ");
  };

  const times = (root) => {
    for (const time of root.querySelectorAll("time[data-time]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = time.textContent;
      time.textContent = format.format(at);
      time.removeAttribute("data-time");
    }
  };

  const countdowns = () => {
    for (const time of document.querySelectorAll("time[data-until]")) {
      const left = Math.floor((new Date(time.dateTime).getTime() - Date.now()) / 1000);
      if (Number.isNaN(left)) continue;
      const text = span(left);
      if (time.textContent !== text) time.textContent = text;
      const holder = time.closest(".deadline") || time;
      holder.classList.toggle("over", left <= 0);
      holder.classList.toggle("soon", left > 0 && left < 3600);
    }
  };

  const selection = () => {
    const list = document.getElementById("list");
    const said = list && list.querySelector("[data-selected]");
    if (!said) return;
    const all = list.querySelector("[data-all]");
    const picks = [...list.querySelectorAll("input[name=pick]")];
    const many = picks.filter((pick) => pick.checked).length;
    all.disabled = false;
    all.checked = many > 0 && many === picks.length;
    all.indeterminate = many > 0 && many < picks.length;
    said.textContent = many === 0 ? "" : `${many} selected`;
    for (const button of list.querySelectorAll(".bulk button")) button.disabled = many === 0;
  };

  const fresh = () => {
    times(document);
    countdowns();
    selection();
  };

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      for (const pick of document.querySelectorAll("#list input[name=pick]")) pick.checked = event.target.checked;
    }
    if (event.target.closest("#list")) selection();
  });
  // A second click on its way does not send it twice; the server would take it for the first.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-once]")) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  // A page that comes back from the browser's memory is as old as it was left.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });
  document.addEventListener("htmx:afterSettle", fresh);
  document.addEventListener("DOMContentLoaded", fresh);
  window.setInterval(countdowns, 1000);
})();
