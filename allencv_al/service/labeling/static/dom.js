// Builds elements from untrusted text: it is set as text, never parsed as HTML.

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

/** Announce a text to screen readers. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Show a sentence briefly, for instance why a key had no effect. */
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

/** Fill a selection list with pairs of value and name; keep the chosen value if it is still there. */
export function options(id, pairs) {
  const before = byId(id).value;
  byId(id).replaceChildren(...pairs.map(([value, name]) => element("option", "", name, { value })));
  if (pairs.some(([value]) => value === before)) byId(id).value = before;
}
