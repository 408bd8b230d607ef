"use strict";
/* The live part of an execution's page. Whatever the action says is put there as text, never as markup. */
(() => {
  const QUICK = 700;
  const SLOW = 5000;

  function follow(place) {
    const part = (name) => place.querySelector(`[data-attune="${name}"]`);
    const output = part("output");
    let after = "";
    let pause = QUICK;

    function write(text, name) {
      const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
      const piece = document.createElement("span");
      piece.className = name;
      piece.textContent = text;
      output.append(piece);
      if (atEnd) output.scrollTop = output.scrollHeight;
    }

    function show(event) {
      if (event.type === "output") {
        if (event.dropped) write(`[${event.dropped} bytes are missing here]\n`, "note");
        write(event.text, event.stream === "stderr" ? "stderr" : "stdout");
      } else if (event.type === "progress") {
        const bar = part("progress");
        bar.hidden = false;
        bar.value = event.percent;
        bar.setAttribute("aria-valuetext", `${Math.round(event.percent)} %`);
        part("message").textContent = event.message;
      }
    }

    /* Take one answer; say whether it was the last one. */
    function take(told) {
      after = told.after;
      told.events.forEach(show);
      part("fault").textContent = told.error ? `The output can't be read just now (${told.error}).` : "";
      if (!told.ended) part("status").textContent = told.status;
      else if (place.dataset.status !== told.status) window.location.reload();
      return told.ended;
    }

    function listen() {
      const source = new EventSource(place.dataset.events, { withCredentials: true });
      source.onmessage = (message) => {
        if (take(JSON.parse(message.data))) source.close();
      };
      source.onerror = () => {
        if (source.readyState === EventSource.CLOSED) ask(); // it gives no stream: ask again and again
      };
    }

    async function ask() {
      try {
        const url = new URL(place.dataset.url, window.location.href);
        if (after) url.searchParams.set("after", after);
        const response = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" } });
        if (!response.ok) throw new Error(String(response.status));
        const told = await response.json();
        if (take(told)) return;
        pause = told.events.length ? QUICK : Math.min(SLOW, pause * 1.3);
      } catch (error) {
        part("fault").textContent = `The server does not answer (${error.message}).`;
        pause = SLOW;
      }
      window.setTimeout(ask, pause);
    }

    if (place.dataset.events && window.EventSource) listen();
    else ask();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".attune-live").forEach(follow);
  });
})();
