"use strict";
// What HTML and htmx do not do: sending with Enter, staying at the end, notifications.
(() => {
  const wide = matchMedia("(min-width: 70rem)");
  const touch = matchMedia("(pointer: coarse)");
  const end = document.scrollingElement;
  const words = { waiting: "needs your answer", idle: "is done", interrupted: "was interrupted", lost: "ended unexpectedly" };
  const lost = "The connection to ml-intern web is lost. Trying again …";
  const restarted = "ml-intern web was started again. Open the address that it has printed.";
  let atEnd = true;
  let state = "";

  const isAtEnd = () => end.scrollHeight - end.scrollTop - innerHeight < 120;
  const toEnd = () => { end.scrollTop = end.scrollHeight; };

  function stateNow() {
    const badge = document.querySelector("#status .badge");
    return badge ? badge.dataset.state : "";
  }

  function notify(now) {
    const title = document.getElementById("title").textContent;
    document.title = (now === "waiting" ? "(!) " : now === "running" ? "… " : "") + title;
    if (now in words && state && now !== state && document.hidden && window.Notification && Notification.permission === "granted") {
      new Notification("ml-intern", { body: `${title}: ${words[now]}`, tag: location.pathname });
    }
    state = now;
  }

  function watchState() {
    const status = document.getElementById("status");
    if (!status) return;
    notify(stateNow());
    new MutationObserver(() => { notify(stateNow()); renewPanels(); }).observe(status, { childList: true, subtree: true });
  }

  function renewPanels() {
    for (const panel of document.querySelectorAll("details.panel[open]")) {
      const typing = document.activeElement && document.activeElement.matches("input, select, textarea");
      if (!typing || !panel.contains(document.activeElement)) htmx.trigger(panel, "renew");
    }
  }

  function offerDetails() {
    const link = document.querySelector(".bar .about");
    const side = document.querySelector("details.side");
    if (!link || !side) return;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      if (end.scrollTop < 120 && side.open && !isAtEnd()) return toEnd();
      side.open = true;
      atEnd = false;
      end.scrollTop = 0;
      side.querySelector("summary").focus({ preventScroll: true });
    });
  }

  function offerNotifications() {
    const button = document.getElementById("notify");
    if (!button || !window.Notification || Notification.permission !== "default") return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await Notification.requestPermission();
      button.hidden = true;
    });
  }

  function followEnd() {
    if (!document.getElementById("log")) return;
    toEnd();
    addEventListener("scroll", () => { atEnd = isAtEnd(); }, { passive: true });
    new ResizeObserver(() => { if (atEnd) toEnd(); }).observe(document.querySelector(".columns"));
  }

  function grow(event) {
    const area = event.target;
    if (!area.matches("textarea[data-grow]") || CSS.supports("field-sizing", "content")) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
  }

  function sendWithEnter(event) {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches("textarea[data-enter]")) return;
    if (event.shiftKey || (touch.matches && !event.ctrlKey && !event.metaKey)) return;
    event.preventDefault();
    if (event.target.value.trim()) event.target.form.requestSubmit();
  }

  function clearSent(event) {
    const form = event.target;
    const response = event.detail && event.detail.ctx && event.detail.ctx.response;
    if (form.matches && form.matches("form.composer") && response && response.status < 300) {
      form.reset();
      atEnd = true;
      toEnd();
    }
  }

  function showPreview(event) {
    const target = event.detail && event.detail.ctx && event.detail.ctx.target;
    if (target && target.id === "preview") target.scrollIntoView({ block: "nearest" });
  }

  function report(text) {
    const line = document.createElement("p");
    line.className = "notice error";
    line.textContent = text;
    document.getElementById("errors").replaceChildren(...(text ? [line] : []));
  }

  document.addEventListener("DOMContentLoaded", () => {
    const side = document.querySelector("details.side");
    if (side) side.open = wide.matches;
    watchState();
    offerNotifications();
    offerDetails();
    followEnd();
  });
  document.addEventListener("input", grow);
  document.addEventListener("keydown", sendWithEnter);
  document.addEventListener("htmx:after:request", clearSent);
  document.addEventListener("htmx:after:swap", showPreview);
  document.addEventListener("htmx:sse:error", (event) => report(event.detail.status === 401 ? restarted : lost));
  document.addEventListener("htmx:response:error", (event) => { if (event.detail.ctx.response.status === 401) report(restarted); });
  document.addEventListener("htmx:error", () => report("ml-intern web does not answer. Nothing was sent."));
  document.addEventListener("htmx:sse:after:connection", () => report(""));
})();
