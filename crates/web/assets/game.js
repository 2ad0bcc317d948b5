// The game page: pictures change in place, and the browser remembers what it has shown.

for (const gallery of document.querySelectorAll("[data-gallery]")) {
  const stage = gallery.querySelector(".shown");
  gallery.addEventListener("click", (event) => {
    const link = event.target.closest(".thumbs a");
    if (!link || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    stage.srcset = link.dataset.srcset;
    stage.src = link.href;
    for (const other of gallery.querySelectorAll(".thumbs a")) {
      other === link ? other.setAttribute("aria-current", "true") : other.removeAttribute("aria-current");
    }
  });
}

const seen = document.querySelector("[data-seen]")?.dataset.seen;
if (seen) {
  try {
    const known = JSON.parse(localStorage.getItem("seen") ?? "[]").filter((slug) => slug !== seen);
    localStorage.setItem("seen", JSON.stringify([seen, ...known].slice(0, 12)));
  } catch { /* Storage is off: nothing is remembered. */ }
}
