// Filters without a reload: the form's answer replaces the form, the address follows, going back goes back, to the same
// place. Focus and what is folded out stay where they were.

const selector = "form[data-catalogue]";
const place = () => location.pathname + location.search;
let running;
let shown = place();

// How many games there are is told to those who do not see it; what is replaced as a whole is not read out.
const told = document.createElement("p");
told.className = "hidden";
told.setAttribute("role", "status");
document.querySelector("main").append(told);

const address = (form) => {
  const query = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...query]) if (value === "") query.delete(name, value);
  const text = query.toString();
  return form.action.split("?")[0] + (text ? `?${text}` : "");
};

// Where the reader is on the page, kept with the address: the browser puts them back there before the games of that
// address have come, and forgets where whoever scrolls and follows a link in one go has been.
const keep = () => history.replaceState({ ...history.state, top: scrollY }, "");
let resting;
addEventListener("scroll", () => { clearTimeout(resting); resting = setTimeout(keep, 150); }, { passive: true });
document.addEventListener("click", (event) => event.target.closest("a") && keep(), true);
const [arrival] = performance.getEntriesByType("navigation");
if (arrival?.type === "back_forward" && history.state?.top > 0 && scrollY === 0) {
  scrollTo({ top: history.state.top, behavior: "instant" });
}

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
    return false;
  }
  const fresh = page.querySelector(selector);
  if (!fresh) { location.assign(url); return false; }
  fresh.querySelector(".filters").open = form.querySelector(".filters").open;
  const scrolled = form.querySelector(".filters").scrollTop;
  for (const facet of form.querySelectorAll("[data-facet]")) {
    const same = fresh.querySelector(`[data-facet="${facet.dataset.facet}"]`);
    if (same) same.open = facet.open;
  }
  const focused = document.activeElement?.id;
  if (push) {
    // Before the page becomes shorter.
    clearTimeout(resting);
    keep();
  }
  form.replaceWith(document.adoptNode(fresh));
  fresh.querySelector(".filters").scrollTop = scrolled;
  document.title = page.title;
  told.textContent = fresh.querySelector("[data-count]").textContent;
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (push) history.pushState({}, "", url);
  shown = place();
  return true;
}

document.addEventListener("change", (event) => {
  const form = event.target.closest(selector);
  if (form) show(address(form), true);
});
document.addEventListener("submit", async (event) => {
  if (!event.target.matches(selector)) return;
  event.preventDefault();
  const wide = matchMedia("(min-width: 60em)").matches;
  event.target.querySelector(".filters").open = wide;
  if (!(await show(address(event.target), true)) || wide) return;
  // The button is folded away with the filters: on to what it has found.
  const heading = document.querySelector(`${selector} h1`);
  heading.tabIndex = -1;
  heading.focus();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest(`${selector} .chosen a, ${selector} .filters .actions a, ${selector} .facet a.whole`);
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  // The place on the page is for those who load it anew.
  show(link.href.split("#")[0], true);
});
addEventListener("popstate", async (event) => {
  // A jump within the page is none to another address.
  if (place() === shown) return;
  const top = event.state?.top;
  if ((await show(location.href, false)) && top !== undefined) scrollTo({ top, behavior: "instant" });
});
