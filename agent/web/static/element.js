/** Appends a new element to `parent` and returns it. */
export function child(parent, tag, className) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  parent.append(element);
  return element;
}
