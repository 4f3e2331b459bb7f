"use strict";
// Asks the server for the next pair, and sends what is chosen. All text is set as text.
const part = (id) => document.getElementById(id);
let pair = null;
let busy = false;

function show(state) {
  pair = state.pair;
  part("card").hidden = pair === null;
  if (pair === null) {
    part("place").textContent = `All ${state.count} are chosen. Thank you; press u to take the last one back, or close the page.`;
    return;
  }
  part("place").textContent = `${pair + 1} of ${state.count}`;
  part("picture").src = `image/${pair}`;
  part("first").textContent = state.first;
  part("second").textContent = state.second;
}

async function ask(address, options) {
  if (busy) return;
  busy = true;
  try {
    const response = await fetch(address, options);
    if (!response.ok) throw new Error(await response.text());
    show(await response.json());
    part("message").textContent = "";
  } catch (error) {
    part("message").textContent = `Not kept: ${error.message}`;
  } finally {
    busy = false;
  }
}

function choose(choice) {
  if (pair === null && choice !== "undo") return;
  ask("choose", { method: "POST", body: JSON.stringify({ pair, choice }) });
}

for (const button of document.querySelectorAll("button[data-choice]")) {
  button.addEventListener("click", () => choose(button.dataset.choice));
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const button = document.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
  if (button) choose(button.dataset.choice);
});
ask("pair");
