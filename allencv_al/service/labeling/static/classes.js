// The classes to choose from: buttons, or a searchable list if there are many.

import { byId, button, element } from "./dom.js";

const MANY_CLASSES = 9;
const PAGE = 8;
const LETTERS = { "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i" };

export class ClassPicker extends EventTarget {
  constructor() {
    super();
    this.classes = [];
    this.found = [];
    this.active = -1;
    this.pressed = null; // ids of the classes in the label; null where a click gives the whole label
    this.isMultiple = false; // whether classes are switched on and off
    this.input = byId("filter");
    this.input.addEventListener("input", () => this.#draw());
    this.input.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Whether there is a search. */
  get isSearched() {
    return this.classes.length > MANY_CLASSES;
  }

  /** Use the classes of the session. */
  set(classes) {
    const seen = (all) => JSON.stringify(all.map(({ id, name, key }) => [id, name, key]));
    const isSame = seen(this.classes) === seen(classes);
    this.classes = classes;
    if (!isSame) this.#draw();
  }

  /** Show which classes the label has. */
  press(ids) {
    this.pressed = ids;
    this.#mark();
  }

  /** Begin to search. */
  search() {
    this.input.focus();
  }

  #key(event) {
    if (event.isComposing || event.keyCode === 229) return; // of an input method, which takes Enter itself
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE };
    if (event.key in moves && !event.altKey && !event.ctrlKey && !event.metaKey) {
      const last = this.found.length - 1;
      if (last >= 0) this.#activate(Math.min(last, Math.max(0, this.active + moves[event.key])));
      event.preventDefault();
    } else if (event.key === "Escape") {
      this.#clear();
      byId("main").focus();
      event.preventDefault();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const one = this.found[this.active];
      if (event.repeat) return;
      if (!one) {
        if (this.isMultiple && this.input.value === "") this.dispatchEvent(new CustomEvent("submit"));
        return;
      }
      this.#clear();
      if (!this.isMultiple) byId("main").focus(); // else the next class is typed
      this.#choose(one, event);
    }
  }

  #choose(one, event) {
    this.dispatchEvent(new CustomEvent("choose", { detail: { one, event } }));
  }

  #clear() {
    this.input.value = "";
    this.#draw();
  }

  #draw() {
    const text = this.isSearched ? this.input.value.trim() : "";
    this.found = search(this.classes, text);
    this.input.hidden = !this.isSearched;
    byId("no-classes").hidden = this.classes.length > 0;
    byId("no-match").hidden = text === "" || this.found.length > 0;
    const list = byId("classes");
    list.classList.toggle("many", this.isSearched);
    list.classList.toggle("toggles", this.isMultiple);
    list.setAttribute("role", this.isSearched ? "listbox" : "group");
    if (this.isSearched && this.isMultiple) list.setAttribute("aria-multiselectable", "true");
    else list.removeAttribute("aria-multiselectable");
    list.replaceChildren(...this.found.map((one) => this.#button(one)));
    this.active = -1;
    this.#activate(text === "" ? -1 : 0);
  }

  #button(one) {
    const parts = [element("span", "class-name", one.name)];
    if (one.key) parts.push(element("kbd", "", one.key));
    const marks = { "data-class": one.id };
    const asOption = this.isSearched ? { role: "option", tabindex: "-1", id: `class-${one.id}`, "aria-selected": "false" } : {};
    return button(parts, (event) => {
      if (event.detail > 0) event.currentTarget.blur(); // of a mouse: keys shall not press it again
      if (this.input.value !== "") this.#clear();
      this.#choose(one, event);
    }, "class-button", { ...marks, ...asOption });
  }

  #activate(place) {
    const options = byId("classes").children;
    this.active = this.isSearched && place < options.length ? place : -1;
    this.#mark();
    const option = options[this.active];
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.input.setAttribute("aria-activedescendant", option.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  #mark() {
    [...byId("classes").children].forEach((option, place) => {
      const isActive = place === this.active;
      const isPressed = this.pressed?.has(option.dataset.class) ?? false;
      option.classList.toggle("active", isActive);
      option.classList.toggle("pressed", isPressed);
      if (this.isSearched) option.setAttribute("aria-selected", String(this.pressed ? isPressed : isActive));
      else if (this.pressed) option.setAttribute("aria-pressed", String(isPressed));
    });
  }
}

/** Return the classes whose names contain a text; equal names first, then those that begin with it. */
export function search(classes, text) {
  const [exact, wanted] = [text.normalize("NFC"), fold(text)];
  if (wanted === "") return classes;
  const rank = ({ name }) => {
    const folded = fold(name);
    if (name.normalize("NFC") === exact) return 0;
    if (folded === wanted) return 1;
    if (folded.startsWith(wanted)) return 2;
    return folded.includes(wanted) ? 3 : 4;
  };
  const ranked = classes.map((one) => [rank(one), one]).filter(([place]) => place < 4);
  return ranked.sort(([one], [other]) => one - other).map(([, one]) => one); // a stable sort
}

/** Return a text without case and accents, in one form of Unicode. */
function fold(text) {
  const plain = text.trim().normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  return Array.from(plain, (letter) => LETTERS[letter] ?? letter).join("").normalize("NFC");
}
