// Building elements from text that nobody has checked: text is only ever text.

export const byId = (id) => document.getElementById(id);

/** Return an element with a class, a text or children, and attributes. */
export function element(tag, className, content = [], attributes = {}) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...(Array.isArray(content) ? content : [content]));
  return made;
}

/** Return a button that does something. */
export function button(content, act, className = "", attributes = {}) {
  const made = element("button", className, content, { type: "button", ...attributes });
  made.addEventListener("click", act);
  return made;
}

/** Have a screen reader say something. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Show a sentence for a moment: why a key did nothing. */
export function showHint(text) {
  byId("hint").textContent = text;
  byId("hint").hidden = false;
  clearTimeout(showHint.timer);
  showHint.timer = setTimeout(() => { byId("hint").hidden = true; }, 4000);
}

/** Show a sentence that stays until it is closed. */
export function showNotice(text) {
  byId("notice-text").textContent = text;
  byId("notice").hidden = false;
}

/** Return "1 image" or "5 images". */
export function count(number, one) {
  return `${number} ${one}${number === 1 ? "" : "s"}`;
}
