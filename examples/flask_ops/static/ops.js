"use strict";
/* Enqueues what a form says, and shows what the execution says: as text, never as markup. */
(() => {
  const place = document.getElementById("execution");
  const part = (name) => place.querySelector(`[data-part="${name}"]`);
  let shown = ""; // the execution that is followed

  function parametersOf(form) {
    const given = {};
    for (const input of form.elements) {
      if (!input.name) continue;
      if (input.type === "checkbox") given[input.name] = input.checked;
      else if (input.value === "") continue;
      else given[input.name] = input.type === "number" ? Number(input.value) : input.value;
    }
    return given;
  }

  async function ask(address, options = {}) {
    const response = await fetch(address, { credentials: "same-origin", ...options });
    const told = await response.json();
    if (!response.ok) throw new Error([told.error.message, ...(told.error.problems || [])].join("\n"));
    return told;
  }

  const post = (address, body) =>
    ask(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

  function show(event) {
    if (event.type === "output") {
      const piece = document.createElement("span");
      piece.className = event.stream;
      piece.textContent = event.text;
      part("output").append(piece);
    } else if (event.type === "progress") {
      part("progress").hidden = false;
      part("progress").value = event.percent;
      part("message").textContent = event.message;
    }
  }

  async function follow(id, address) {
    let after = "";
    while (shown === id) {
      const page = await ask(`${address}/output?after=${encodeURIComponent(after)}`);
      if (shown !== id) return;
      after = page.after;
      page.events.forEach(show);
      part("status").textContent = page.status;
      if (page.ended) break;
      await new Promise((done) => window.setTimeout(done, 500));
    }
    const end = await ask(address);
    if (shown !== id) return;
    part("cancel").hidden = true;
    part("result").hidden = end.result === null;
    part("result").textContent = JSON.stringify(end.result, null, 2);
    if (end.error) part("fault").textContent = `${end.error.type}: ${end.error.message}`;
  }

  async function run(form) {
    place.hidden = false;
    shown = "";
    for (const name of ["status", "message", "fault", "output", "result"]) part(name).textContent = "";
    part("progress").hidden = part("result").hidden = part("cancel").hidden = true;
    try {
      const endpoint = place.dataset.endpoint;
      const told = await post(endpoint, { action: form.dataset.action, parameters: parametersOf(form) });
      shown = told.execution_id;
      part("cancel").hidden = false;
      await follow(shown, `${endpoint}/${shown}`);
    } catch (error) {
      part("fault").textContent = error.message;
    }
  }

  document.querySelectorAll("form[data-action]").forEach((form) =>
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      run(form);
    }),
  );
  part("cancel").addEventListener("click", () => post(place.dataset.cancel.replace(/0$/, shown), {}));
})();
