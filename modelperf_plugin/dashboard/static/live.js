// Keeps the page up to date: fetches it every few seconds and replaces what has changed. The page works without it.
"use strict";

const EVERY_MS = 5000;
const PENDING_MS = 1000;
const button = document.getElementById("live");
let on = sessionStorage.getItem("live") !== "off";

let lost = false;

function show() {
  button.setAttribute("aria-pressed", String(on));
  button.classList.toggle("lost", on && lost);
  button.textContent = on ? (lost ? "no answer" : "live") : "paused";
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
    lost = !answer.ok;
    show();
    if (lost) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const selector of ["main", "footer"]) {
      const [old, next] = [document.querySelector(selector), fresh.querySelector(selector)];
      if (!next || old.innerHTML === next.innerHTML) continue;
      const links = [...old.querySelectorAll("a, button")];
      const place = links.indexOf(document.activeElement);
      const opened = [...old.querySelectorAll("details")].map((each) => each.open);
      const scrolled = [...old.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
      old.replaceChildren(...next.childNodes);
      old.querySelectorAll("details").forEach((each, number) => { each.open = opened[number] ?? each.open; });
      old.querySelectorAll(".scroll").forEach((each, number) => { each.scrollLeft = scrolled[number] || 0; });
      if (place >= 0) [...old.querySelectorAll("a, button")][place]?.focus({ preventScroll: true });
    }
  } catch {
    lost = true; // keep the page, say that it may be old, and try again next time
    show();
  }
}

button.hidden = false;
button.addEventListener("click", () => {
  on = !on;
  sessionStorage.setItem("live", on ? "on" : "off");
  show();
  refresh();
});
addEventListener("pagehide", () => document.body.classList.remove("loading"));
addEventListener("beforeunload", () => document.body.classList.add("loading"));
show();
function keepUp() {
  const isPending = document.querySelector(".pending") !== null;
  setTimeout(async () => { await refresh(); keepUp(); }, isPending ? PENDING_MS : EVERY_MS);
}

keepUp();
