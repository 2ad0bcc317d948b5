// What every page gains from scripts: the personal part of the header, hearts that know what is on the wishlist, a theme
// without a reload, suggestions while typing, and ages that go on counting. Every one of them stands on HTML that works
// without it.

const language = document.documentElement.lang;

// What is personal, in one request; the page itself is the same for everybody.
const me = document.querySelector("[data-me]");
const hearts = [...document.querySelectorAll("form[data-wish]")];
const asked = new URLSearchParams(hearts.map((form) => ["game", form.dataset.wish]));
const personal = hearts.length ? `/fragments/me?${asked}` : "/fragments/me";

function fill(text) {
  const fragment = new DOMParser().parseFromString(text, "text/html");
  const [links, wished] = [fragment.querySelector("nav"), fragment.querySelector("data")];
  if (!links || !wished) return false;
  // Only when something changes: whoever has tabbed into it stays there.
  if (me && me.innerHTML !== links.innerHTML) me.replaceChildren(...links.childNodes);
  const games = wished.value.split(" ");
  for (const form of hearts) press(form, games.includes(form.dataset.wish));
  return true;
}

async function refreshMe() {
  const answer = await fetch(personal, { headers: { accept: "text/html" } }).catch(() => null);
  if (answer?.ok) fill(await answer.text());
}
refreshMe();
addEventListener("pageshow", (event) => event.persisted && refreshMe());

// A heart is a button that puts onto the wishlist; once it is known what is there, it is one that is pressed or not.
function press(form, on) {
  const heart = form.querySelector("button");
  form.action = on ? "/wishlist/remove" : "/wishlist/add";
  heart.setAttribute("aria-pressed", String(on));
  heart.setAttribute("aria-label", heart.dataset.name);
  heart.title = on ? heart.dataset.remove : heart.dataset.add;
}
for (const form of hearts) {
  const heart = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (heart.ariaBusy) return;
    heart.ariaBusy = "true";
    const { action } = form;
    const body = new URLSearchParams(new FormData(form));
    // The answer is what is personal, as it is then.
    body.set("next", personal);
    press(form, !action.endsWith("/remove"));
    const answer = await fetch(action, { method: "POST", body, keepalive: true }).catch(() => null);
    if (!answer?.ok || !fill(await answer.text())) {
      // What went wrong is told by a page of its own.
      form.action = action;
      form.submit();
    }
    heart.removeAttribute("aria-busy");
  });
}

// Light and dark at once; the form's cookie makes it last.
document.querySelector("[data-themes]")?.addEventListener("submit", (event) => {
  const theme = event.submitter?.value;
  if (!theme) return;
  event.preventDefault();
  document.documentElement.dataset.theme = theme;
  document.cookie = `theme=${theme}; Path=/; Max-Age=31536000; SameSite=Lax`;
  for (const button of event.target.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
});

// Menus that scroll sideways on a phone show where one is.
for (const here of document.querySelectorAll(".main-nav [aria-current], .account-menu [aria-current]")) {
  const menu = here.parentElement;
  menu.scrollLeft = here.offsetLeft - menu.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2;
}

// Ages: "3 minutes ago" while the page stays open.
const relative = new Intl.RelativeTimeFormat(language, { numeric: "always" });
function age() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const minutes = Math.floor((Date.now() - Date.parse(time.dateTime)) / 60000);
    if (!(minutes >= 1)) continue;
    time.textContent =
      minutes < 60 ? relative.format(-minutes, "minute")
      : minutes < 2880 ? relative.format(-Math.floor(minutes / 60), "hour")
      : relative.format(-Math.floor(minutes / 1440), "day");
  }
}
setInterval(age, 60000);

// Suggestions: a combobox with a listbox, as the ARIA practices describe it.
for (const form of document.querySelectorAll("form[data-suggest]")) suggest(form);
function suggest(form) {
  const input = form.querySelector("input[type=search]");
  const list = document.createElement("ul");
  list.id = `${input.id}-list`;
  list.className = "suggestions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", input.labels[0]?.textContent ?? "");
  list.hidden = true;
  form.append(list);
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", list.id], ["aria-expanded", "false"]]) {
    input.setAttribute(name, value);
  }
  let found = [], at = -1, asked = "", timer, running;
  const show = (open) => {
    list.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    if (!open) select(-1);
  };
  const select = (next) => {
    at = next;
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
    const option = list.children[at];
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const go = (i) => { location.href = `/game/${encodeURIComponent(found[i].slug)}`; };
  const draw = () => {
    list.replaceChildren(...found.map((game, i) => {
      const option = document.createElement("li");
      option.id = `${list.id}-${i}`;
      option.setAttribute("role", "option");
      const image = document.createElement("img");
      image.src = game.image.startsWith("/covers/") ? game.image : `/images/${game.id}/0/160.webp`;
      image.alt = "";
      image.width = 34;
      image.height = 45;
      const title = document.createElement("span");
      title.textContent = game.name;
      const offer = document.createElement("span");
      offer.className = "variant";
      offer.textContent = game.offer[language] ?? "";
      title.append(" ", offer);
      option.append(image, title);
      option.addEventListener("mousedown", (event) => { event.preventDefault(); go(i); });
      return option;
    }));
    show(found.length > 0 && document.activeElement === input);
  };
  const ask = async () => {
    const text = input.value.trim();
    if (text === asked) return;
    asked = text;
    running?.abort();
    if (text.length < 2) { found = []; draw(); return; }
    running = new AbortController();
    try {
      const answer = await fetch(`/api/games/autocomplete?limit=8&q=${encodeURIComponent(text)}`, { signal: running.signal });
      if (!answer.ok) return;
      const { data } = await answer.json();
      if (text === asked) { found = data; draw(); }
    } catch { /* Another key was pressed, or the network is away: the form still searches. */ }
  };
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 120); });
  input.addEventListener("blur", () => show(false));
  input.addEventListener("focus", () => found.length && input.value.trim() === asked && show(true));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !list.hidden) { show(false); event.preventDefault(); }
    if (list.hidden || found.length === 0) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      select((at + 1 + step + found.length + 1) % (found.length + 1) - 1);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      go(at);
    }
  });
}
