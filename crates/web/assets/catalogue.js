// Filters without a reload: the form's answer replaces the form, the address follows, going back goes back. Focus and
// what is folded out stay where they were.

const selector = "form[data-catalogue]";
let running;

const address = (form) => {
  const query = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...query]) if (value === "") query.delete(name, value);
  const text = query.toString();
  return form.action.split("?")[0] + (text ? `?${text}` : "");
};

async function show(url, push) {
  running?.abort();
  running = new AbortController();
  const form = document.querySelector(selector);
  form.setAttribute("aria-busy", "true");
  let page;
  try {
    const answer = await fetch(url, { signal: running.signal, headers: { accept: "text/html" } });
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch (error) {
    if (error.name !== "AbortError") location.assign(url);
    return;
  }
  const fresh = page.querySelector(selector);
  if (!fresh) { location.assign(url); return; }
  fresh.querySelector(".filters").open = form.querySelector(".filters").open;
  const scrolled = form.querySelector(".filters").scrollTop;
  for (const facet of form.querySelectorAll("[data-facet]")) {
    const same = fresh.querySelector(`[data-facet="${facet.dataset.facet}"]`);
    if (same) same.open = facet.open;
  }
  const focused = document.activeElement?.id;
  const inner = [...form.querySelectorAll(".options")].map((list) => list.scrollTop);
  form.replaceWith(document.adoptNode(fresh));
  fresh.querySelector(".filters").scrollTop = scrolled;
  [...fresh.querySelectorAll(".options")].forEach((list, i) => { list.scrollTop = inner[i] ?? 0; });
  document.title = page.title;
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (push) history.pushState({ catalogue: true }, "", url);
}

document.addEventListener("change", (event) => {
  const form = event.target.closest(selector);
  if (form) show(address(form), true);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches(selector)) return;
  event.preventDefault();
  event.target.querySelector(".filters").open = matchMedia("(min-width: 60em)").matches;
  show(address(event.target), true);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest(`${selector} .chosen a, ${selector} .filters .actions a`);
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  show(link.href, true);
});
addEventListener("popstate", () => show(location.href, false));
