// Small steps on the document. Text is only ever put in as text; what does not change is not touched.

/** A new element with a class and text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Show this text, unless it is shown already. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Give it this attribute, or none for null, unless that is so already. */
export function setAttribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/** Make `nodes` the children of `parent`, in this order: the others go, and only what is out of place is moved. */
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) {
    if (!wanted.has(child)) child.remove();
  }
  let next = parent.firstElementChild;
  for (const node of nodes) {
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}
