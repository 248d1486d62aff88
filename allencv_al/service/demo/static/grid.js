// Several images side by side, in the order that is asked for.

import { element, percent, picture } from "./dom.js";

const compareText = new Intl.Collator(undefined, { numeric: true }).compare;

const ORDERS = {
  added: () => 0,
  margin: byNumber((item) => item.result?.margin),
  entropy: byNumber((item) => (item.result?.entropy == null ? null : -item.result.entropy)),
  class: (a, b) => compareText(a.result?.name ?? "\uffff", b.result?.name ?? "\uffff"),
  name: (a, b) => compareText(a.name, b.name),
};

function byNumber(value) {
  // Images without a prediction come last.
  return (a, b) => (value(a) ?? Infinity) - (value(b) ?? Infinity) || 0;
}

/** Return the items in one of the orders; equal ones as they were added. */
export function sorted(items, order) {
  const compare = ORDERS[order];
  return [...items].sort((a, b) => compare(a, b) || a.order - b.order);
}

/** The grid of cards: one button per image. */
export class Grid {
  #list;
  #cards = new Map();
  #onSelect;

  constructor(list, onSelect) {
    this.#list = list;
    this.#onSelect = onSelect;
    list.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Show these items in this order; cards that are there already are kept. */
  show(items, selected) {
    for (const item of items) if (!this.#cards.has(item)) this.#cards.set(item, this.#card(item));
    const wanted = items.map((item) => this.#cards.get(item).place);
    const present = [...this.#list.children];
    if (wanted.length !== present.length || wanted.some((place, i) => place !== present[i])) {
      const focused = document.activeElement;
      this.#list.replaceChildren(...wanted);
      if (wanted.some((place) => place.contains(focused))) focused.focus();
    }
    for (const [item, { button }] of this.#cards) {
      button.setAttribute("aria-pressed", String(item === selected));
    }
  }

  /** Show what is new of an item. */
  update(item) {
    const card = this.#cards.get(item);
    if (card) fill(card.facts, item);
  }

  clear() {
    this.#cards.clear();
    this.#list.replaceChildren();
  }

  #card(item) {
    const facts = element("span", "tile-facts");
    fill(facts, item);
    const thumbnail = picture(item, "tile-image", "");
    thumbnail.loading = "lazy";
    const button = element("button", "tile", [thumbnail, facts], { type: "button", "aria-pressed": "false" });
    button.addEventListener("click", () => this.#onSelect(item));
    return { place: element("li", "", button), button, facts };
  }

  #onKey(event) {
    const buttons = [...this.#list.querySelectorAll("button")];
    const here = buttons.indexOf(document.activeElement);
    if (here < 0) return;
    const columns = getComputedStyle(this.#list).gridTemplateColumns.split(" ").length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const places = { Home: 0, End: buttons.length - 1 };
    const next = places[event.key] ?? (event.key in steps ? here + steps[event.key] : here);
    if (next === here || !buttons[next]) return;
    event.preventDefault();
    buttons[next].focus();
  }
}

function fill(facts, item) {
  facts.replaceChildren(element("span", "tile-name soft", item.name), ...said(item));
}

function said({ result, error }) {
  if (error) return [element("span", "error-text", "no prediction")];
  if (!result) return [element("span", "working", "waiting ...")];
  const name = element("strong", "tile-class", result.name ?? "answered");
  if (result.probability === null) return [name];
  const track = element("span", "bar-track", element("span", "bar-fill"), { "aria-hidden": "true" });
  track.style.setProperty("--share", result.probability);
  return [
    element("span", "tile-line", [name, element("span", "tile-share", percent(result.probability))]),
    track,
    element("span", "tile-measures soft", [
      element("span", "", `margin ${result.margin.toFixed(2)}`),
      element("span", "", `entropy ${result.entropy.toFixed(2)}`),
    ]),
  ];
}
