// An order whose keys appear as they arrive, and buttons that copy them. The page itself is fetched again on every
// change; what has the focus keeps it.
const order = document.querySelector("[data-order]");
const status = document.querySelector("[data-order-status]");

async function refresh() {
  const answer = await fetch(location.pathname, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const [fresh, told] = [page.querySelector("[data-order]"), page.querySelector("[data-order-status]")];
  if (!fresh || !told) return;
  const focused = document.activeElement?.id;
  order.replaceChildren(...fresh.childNodes);
  if (focused) document.getElementById(focused)?.focus();
  // Only the words change, so that screen readers tell them.
  if (status.textContent !== told.textContent) status.textContent = told.textContent;
}

if (order.dataset.order !== "over") {
  const events = new EventSource(`${location.pathname}/events`);
  let running = Promise.resolve();
  const news = () => { running = running.then(refresh); };
  events.addEventListener("news", news);
  events.addEventListener("over", () => { events.close(); news(); });
  addEventListener("pagehide", () => events.close());
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-all]");
  if (!button) return;
  const all = button.closest(".line").querySelector(".keys");
  const keys = "copyAll" in button.dataset ? [...all.querySelectorAll(".key")] : [document.getElementById(button.dataset.copy)];
  try {
    await navigator.clipboard.writeText(keys.map((key) => key.textContent).join("\n"));
    status.textContent = button.dataset.done;
    button.textContent = button.dataset.done;
  } catch {
    getSelection().selectAllChildren(keys.length > 1 ? all : keys[0]);
  }
});
