// The page keeps itself fresh: every two seconds it fetches itself and, when something changed, swaps the middle.
// What was folded open stays open, and nothing moves while a selection is being made.
(() => {
  let last = null;
  const openOnes = (root) => [...root.querySelectorAll("details")].map((d) => d.open);
  const withoutTimes = (html) => html.replace(/<time[^>]*>[^<]*<\/time>/g, "");
  // Whoever one acts as is remembered from page to page.
  const chooseActor = (root) => {
    const actor = localStorage.getItem("actor");
    root.querySelectorAll("select[data-actors]").forEach((select) => {
      if (actor && [...select.options].some((option) => option.value === actor)) select.value = actor;
      select.addEventListener("change", () => { localStorage.setItem("actor", select.value); chooseActor(document); });
    });
    if (actor) root.querySelectorAll("input[data-actor]").forEach((field) => { field.value = actor; });
  };
  chooseActor(document);
  document.documentElement.dataset.height = document.documentElement.scrollHeight;  // for `screenshot`
  setInterval(async () => {
    const typing = [...document.querySelectorAll("textarea, input[name=label]")].some((field) => field.value);
    const busy = ["SELECT", "TEXTAREA", "INPUT"].includes(document.activeElement.tagName);
    if (document.hidden || String(getSelection()) || typing || busy) return;
    const answer = await fetch(location.href).catch(() => null);
    if (!answer || !answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    const here = document.getElementById("live");
    const now = withoutTimes(fresh.innerHTML);
    if (last !== null && now !== last) {
      const open = openOnes(here);
      here.replaceWith(fresh);
      chooseActor(fresh);
      fresh.querySelectorAll("details").forEach((d, i) => { if (open[i]) d.open = true; });
    }
    last = now;
  }, 2000);
})();
