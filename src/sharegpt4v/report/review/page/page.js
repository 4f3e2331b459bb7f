// The rows of one page are here, the others are fetched. What rows say becomes text, never HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const form = $("filter");
let rows = [], first = 1, total = 0, exact = true, at = 0;
let work = Promise.resolve(); // one thing after the other: keys may come faster than answers

function queue(task) {
  work = work.then(task).then(() => undefined, (error) => { $("message").textContent = String(error.message || error); });
}

async function ask(address, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer: is `s4v review` still running? What was kept is kept.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function filter() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    const chosen = form.elements[name].selectedOptions?.[0];
    if (value !== "" || chosen?.hasAttribute("data-empty")) wanted.set(name, value);
  }
  return wanted;
}

function searched() {
  return String(filter()) && `?${filter()}`;
}

// Loads a page; the row to be shown is its first, or its last when it lies in front of a row.
async function load(where = {}) {
  const wanted = filter();
  history.replaceState(null, "", searched() || "./");
  for (const [name, value] of Object.entries(where)) wanted.set(name, value);
  const page = await ask(`rows?${wanted}`);
  if (page.rows.length === 0 && Object.keys(where).length) return false;
  ({ rows, first, total, exact } = page);
  at = "before" in where ? rows.length - 1 : 0;
  list();
  show();
  return true;
}

function mark(row) {
  return row.verdict === "accepted" ? "✓ " : row.verdict === "rejected" ? "✗ " : "";
}

function list() {
  $("list").replaceChildren(...rows.map((row, number) => {
    const item = document.createElement("li");
    item.addEventListener("click", () => { at = number; show(); });
    return item;
  }));
  rows.forEach((_, number) => relabel(number));
}

function relabel(number) {
  const item = $("list").children[number], row = rows[number];
  item.textContent = mark(row) + row.caption.slice(0, 120);
  item.className = row.verdict || "";
}

function show() {
  const row = rows[at];
  $("card").hidden = !row;
  $("nothing").hidden = Boolean(row);
  $("message").textContent = "";
  for (const button of document.querySelectorAll("button.accept, button.reject")) button.disabled = !row?.can_be_judged;
  if (!row) return;
  const address = `image/${row.number}`;
  if ($("picture").dataset.number !== String(row.number)) {
    $("picture").dataset.number = row.number;
    $("picture-link").hidden = false;
    $("no-picture").hidden = true;
    $("picture").src = address;
    $("picture-link").href = address;
  }
  const place = first === null ? "one" : (first + at).toLocaleString("en");
  $("place").textContent = `${place} of ${exact ? "" : "more than "}${total.toLocaleString("en")}`;
  $("verdict").textContent = row.verdict ? mark(row) + row.verdict + (row.why ? `: ${row.why}` : "") : "no verdict";
  $("verdict").className = row.verdict || "";
  $("caption").textContent = row.caption;
  $("caption").className = row.can_be_judged ? "" : "error";
  $("name").textContent = row.image;
  $("about").replaceChildren(...Object.entries(row.about).flatMap(([name, value]) => {
    const term = document.createElement("dt"), said = document.createElement("dd");
    term.textContent = name.replace("_", " ");
    said.textContent = value;
    return [term, said];
  }));
  for (const [number, item] of [...$("list").children].entries()) item.toggleAttribute("aria-current", number === at);
  const box = $("list"), item = box.children[at]; // scrollIntoView would move the page as well
  box.scrollTop = Math.min(Math.max(box.scrollTop, item.offsetTop + item.offsetHeight - box.clientHeight), item.offsetTop);
  if (rows[at + 1]) new Image().src = `image/${rows[at + 1].number}`;
}

async function step(by) {
  if (!rows.length) return;
  if (rows[at + by]) {
    at += by;
    show();
  } else if (!await load(by > 0 ? { after: rows.at(-1).number } : { before: rows[0].number })) {
    $("message").textContent = by > 0 ? "This is the last caption." : "This is the first caption.";
  }
}

async function judge(verdict, reason) {
  const row = rows[at];
  if (!row?.can_be_judged) return;
  const answer = await ask("verdict", { row: row.number, verdict, reason });
  rows[at] = answer.row;
  relabel(at);
  show();
  await step(1);
}

async function undo() {
  const { row } = await ask("undo", {});
  const here = rows.findIndex((one) => one.number === row.number);
  if (here >= 0) {
    rows[here] = row;
    relabel(here);
    at = here;
    show();
  } else if (!await load({ before: row.number + 1 }) || rows[at].number !== row.number) {
    $("message").textContent = `The verdict about ${row.image} was taken back; the filter does not show it.`;
  }
}

function act(key) {
  if (key === "a") queue(() => judge("accepted", null));
  else if (key === "u") queue(undo);
  else if (key === "j" || key === "ArrowRight") queue(() => step(1));
  else if (key === "k" || key === "ArrowLeft") queue(() => step(-1));
  else if (key === "/") form.elements.text.focus();
  else if (document.querySelector(`button.reject[data-key="${CSS.escape(key)}"]`)) queue(() => judge("rejected", key));
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && !/^(j|k|Arrow)/.test(event.key)) return;
  if (event.target.matches("input, select")) return;
  if (act(event.key)) event.preventDefault();
});
for (const button of document.querySelectorAll("button")) {
  button.addEventListener("click", () => { act(button.dataset.key); button.blur(); });
}
$("picture").addEventListener("error", () => { $("picture-link").hidden = true; $("no-picture").hidden = false; });
$("picture").addEventListener("load", () => $("picture").classList.toggle("small", $("picture").naturalWidth < 200));
let soon;
function reload() {
  clearTimeout(soon);
  soon = setTimeout(() => { if (location.search !== searched()) queue(() => load()); }, 250); // a field left is a change too
}
form.addEventListener("input", reload);
form.addEventListener("change", reload);
form.addEventListener("submit", (event) => { event.preventDefault(); document.activeElement.blur(); });

for (const [name, value] of new URLSearchParams(location.search)) {
  const field = form.elements[name];
  if (field?.tagName === "SELECT" && value === "") field.querySelector("[data-empty]")?.setAttribute("selected", "");
  else if (field) field.value = value;
}
queue(() => load());
