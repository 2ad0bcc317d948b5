// In the cart a number counts as soon as it is typed; without scripts, with the Enter key.
for (const form of document.querySelectorAll("[data-copies]")) {
  form.elements.quantity.addEventListener("change", () => form.requestSubmit());
}
