// Makes and changes elements. Text is text: nothing here parses HTML. What has not changed is not touched.

const svgNamespace = "http://www.w3.org/2000/svg";

// el makes an HTML element with attributes and children, which are elements or text.
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// svg makes an SVG element.
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(svgNamespace, tag), attributes, children);
}

function fill(e, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

export function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

export function setAttribute(e, name, value) {
  const text = String(value);
  if (e.getAttribute(name) !== text) e.setAttribute(name, text);
}

export function setData(e, name, value) {
  setAttribute(e, `data-${name}`, value);
}

// setLines makes a list's items: texts.
export function setLines(list, texts) {
  while (list.children.length > texts.length) list.lastChild.remove();
  while (list.children.length < texts.length) list.append(el("li"));
  texts.forEach((text, i) => setText(list.children[i], text));
  list.hidden = texts.length === 0;
}
