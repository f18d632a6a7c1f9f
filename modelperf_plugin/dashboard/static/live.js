// Keeps the page up to date: fetches it every few seconds and replaces what has changed. The page works without it.
"use strict";

const EVERY_MS = 5000;
const button = document.getElementById("live");
let on = sessionStorage.getItem("live") !== "off";

function show() {
  button.setAttribute("aria-pressed", String(on));
  button.textContent = on ? "live" : "paused";
}

function busy() {
  const active = document.activeElement;
  return document.hidden || String(getSelection()) !== "" || isEdited() || (active && active.matches("input, select, .scroll"));
}

function isEdited() {
  return [...document.querySelectorAll("main input")].some((each) => each.value !== each.defaultValue)
    || [...document.querySelectorAll("main select")].some((each) => each.value !== ([...each.options].find((option) => option.defaultSelected) || each.options[0]).value);
}

async function refresh() {
  if (!on || busy()) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const selector of ["main", "footer"]) {
      const [old, next] = [document.querySelector(selector), fresh.querySelector(selector)];
      if (!next || old.innerHTML === next.innerHTML) continue;
      const links = [...old.querySelectorAll("a, button")];
      const place = links.indexOf(document.activeElement);
      const scrolled = [...old.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
      old.replaceChildren(...next.childNodes);
      old.querySelectorAll(".scroll").forEach((each, number) => { each.scrollLeft = scrolled[number] || 0; });
      if (place >= 0) [...old.querySelectorAll("a, button")][place]?.focus({ preventScroll: true });
    }
  } catch {
    // the server is unavailable: keep the page and try again next time
  }
}

button.hidden = false;
button.addEventListener("click", () => {
  on = !on;
  sessionStorage.setItem("live", on ? "on" : "off");
  show();
  refresh();
});
show();
setInterval(refresh, EVERY_MS);
