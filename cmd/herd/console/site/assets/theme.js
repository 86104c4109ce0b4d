// Light or dark: as the system says, or as the fragment does. Loaded before the first paint.
import { Fragment } from "./fragment.js";

const fragment = new Fragment();

function show() {
  const theme = fragment.get("theme");
  const known = theme === "light" || theme === "dark";
  if (known) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const input = document.querySelector(`#theme input[value=${known ? theme : "system"}]`);
  if (input) input.checked = true;
}

fragment.listen(show);
document.addEventListener("DOMContentLoaded", show);
document.addEventListener("change", (e) => {
  if (e.target.name === "theme") fragment.set("theme", e.target.value === "system" ? "" : e.target.value, false);
});
