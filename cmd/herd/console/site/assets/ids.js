// Ids of clients are any bytes but white space. The server writes them in base64; the fragment has base64url, which needs
// no escapes.

const longest = 1024; // bytes

export function toFragment(base64) {
  return base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

// fromFragment is empty for what is no id: asked for that, the server would end the connection.
export function fromFragment(text) {
  const base64 = text.replaceAll("-", "+").replaceAll("_", "/");
  try {
    return encode(atob(base64));
  } catch {
    return "";
  }
}

// ofText is the id that somebody types, or empty if it is none.
export function ofText(text) {
  return encode(Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(""));
}

function encode(bytes) {
  return bytes.length <= longest && !/[ \t\n\v\f\r]/.test(bytes) ? btoa(bytes) : "";
}

// textOf is the text of an id, or "" if its bytes are no text.
export function textOf(base64) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  } catch {
    return "";
  }
}
