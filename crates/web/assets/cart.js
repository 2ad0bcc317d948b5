// In the cart a number counts as soon as it is typed; without scripts, with the Enter key. Once is enough: the Enter key
// sends the form and changes the field at the same time.
for (const form of document.querySelectorAll("[data-copies]")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  form.elements.quantity.addEventListener("change", () => sent || form.requestSubmit());
  addEventListener("pageshow", () => { sent = false; });
}
