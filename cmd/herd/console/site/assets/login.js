// The login: the button that ends it, and how the page learns that it has ended. The form for it is a page of its own.
import { setText } from "./dom.js";
import { printable } from "./format.js";

const button = document.getElementById("logout");

button.addEventListener("click", async () => {
  await fetch("/logout", { method: "POST" }).catch(() => null);
  location.reload();
});

// showUser shows the button, if there is a login: name is that of its token.
export function showUser(name) {
  setText(button, `Log out ${printable(name ?? "")}`);
  button.hidden = !name;
}

// isDenied asks the console whether the page may be loaded. A WebSocket that was refused does not say why.
export async function isDenied() {
  const answer = await fetch("/", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(2000) }).catch(() => null);
  return answer?.status === 401;
}
