// The palette ("/" or Ctrl-K) and pages that follow what happens. Everything works without: the palette is the search page,
// and a page has a link that reads it again.
const find = document.querySelector("form.find");
if (find) palette(find);
const main = document.querySelector("main[data-live]");
if (main) follow(main);

function make(name, attributes) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function palette(form) {
  const label = form.querySelector("label").textContent;
  const dialog = make("dialog", { class: "palette", "aria-label": label });
  const input = make("input", {
    type: "text", role: "combobox", "aria-label": label, "aria-expanded": "true", "aria-controls": "palette",
    "aria-autocomplete": "list", placeholder: form.elements.q.placeholder, autocomplete: "off", spellcheck: "false", maxlength: "2000",
  });
  const list = make("div", { id: "palette", role: "listbox", "aria-label": label });
  const status = make("p", { class: "quiet", role: "status" });
  dialog.append(input, list, status);
  document.body.append(dialog);
  let shown = null, request = null, timer = 0;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const chosen = () => list.querySelector("[aria-selected=true]");
  const text = () => input.value.trim();

  function choose(option) {
    chosen()?.setAttribute("aria-selected", "false");
    if (!option) return input.removeAttribute("aria-activedescendant");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  }

  async function ask() {
    request?.abort();
    const own = request = new AbortController();
    const asked = text();
    try {
      const address = new URL("palette", form.action);
      address.searchParams.set("q", asked);
      const answer = await fetch(address, { signal: own.signal });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      list.replaceChildren(...page.querySelector("[data-options]").childNodes);
      status.textContent = page.querySelector("[data-status]").textContent;
      shown = asked;
      choose(options()[0]);
    } catch {
      // Asked again meanwhile, or offline: Enter opens the search page.
    }
  }

  function open() {
    if (dialog.open) return;
    dialog.showModal();
    input.select();
    ask();
  }

  addEventListener("keydown", (event) => {
    const types = event.target.closest?.("input, textarea, select, [contenteditable]");
    const slash = event.key === "/" && !types && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (slash || (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey)) {
      event.preventDefault();
      open();
    }
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 120);
  });
  input.addEventListener("keydown", (event) => {
    const all = options(), at = all.indexOf(chosen());
    if (event.key === "ArrowDown") choose(all[(at + 1) % all.length]);
    else if (event.key === "ArrowUp") choose(all[(at - 1 + all.length) % all.length]);
    else if (event.key === "Enter" && !event.isComposing) {
      const search = new URL(form.action);
      search.searchParams.set("q", text());
      location.assign(shown === text() && chosen() ? chosen().href : search);
    } else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

// Makes `old` what `fresh` is, in place, so that what has the focus keeps it. What somebody types is left alone, and so is a
// list that has the focus: its rows would be others under the reader's finger.
function patch(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.isEqualNode(fresh) || old.matches("input, select, textarea")) return;
  if (old.matches("tbody, ul, ol, table, form") && old.contains(document.activeElement)) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [had, has] = [[...old.childNodes], [...fresh.childNodes]];
  had.slice(has.length).forEach((node) => node.remove());
  has.forEach((node, at) => (had[at] ? patch(had[at], node) : old.append(node)));
}

function follow(main) {
  let events = null, running = Promise.resolve();

  async function refresh() {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (fresh) patch(main, fresh);
  }

  function start() {
    events = new EventSource(main.dataset.live);
    const news = () => { running = running.then(refresh); };
    events.addEventListener("news", news);
    events.addEventListener("over", () => { events.close(); news(); });
  }

  start();
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", (event) => { if (event.persisted && main.dataset.live) start(); });
}
