// A proposed class for each pixel: accepted as it is, or handed over to another program.

import { color, css, paint } from "../mask.js";
import { post } from "./api.js";
import { announce, byId, element, showHint, showNotice } from "./dom.js";
import { LabelEditor, pressesButton } from "./label_editor.js";

const VOID = 255;

export class MaskEditor extends LabelEditor {
  static keys = [
    ["Enter  y", "Accept the mask"], ["h", "Hand the image over to a program that draws masks"],
    ["o", "Hide or show the mask"],
  ];

  constructor(stage) {
    super(stage);
    this.item = null;
    this.label = null; // the text of the proposed mask, once it is drawn
    this.shares = []; // { name, index, share } of the classes in it
    this.canvas = byId("mask");
    byId("mask-panel").hidden = false;
    stage.addEventListener("change", () => { this.canvas.style.transform = stage.image.style.transform; });
    const opacity = byId("mask-opacity");
    opacity.addEventListener("input", () => this.draw());
    opacity.addEventListener("pointerup", () => opacity.blur()); // keys are commands again
    this.bind({ "mask-accept": "y", "mask-hand-over": "h", "mask-hide": "o" });
  }

  open(item, text) {
    if (item !== this.item) {
      this.item = item;
      this.label = null;
      this.shares = [];
      this.isHidden = false;
      if (item?.has_guess) this.#load(item);
    }
    super.open(item, text);
  }

  key(key, event = null) {
    if (key === "Enter" && pressesButton(event)) return false;
    if (key === "Enter" || key === "y") this.#accept();
    else if (key === "h") this.dispatchEvent(new CustomEvent("hand-over"));
    else if (key === "o") this.isHidden = !this.isHidden;
    else return false;
    this.draw();
    return true;
  }

  choose() {
    showHint("A mask is accepted as it is (Enter), or handed over (h).");
  }

  /** Return the classes of the mask, as a person reads them. */
  summary() {
    return this.shares.map(({ name, share }) => `${name} ${percent(share)}`).join(", ") || "background";
  }

  read() {
    return null; // there is nothing to change, so nothing to restore
  }

  state() {
    return null;
  }

  restore() {}

  draw() {
    const isDrawn = this.label !== null;
    this.canvas.toggleAttribute("hidden", !isDrawn || this.isHidden);
    this.canvas.style.opacity = byId("mask-opacity").value;
    byId("mask-accept").disabled = !isDrawn;
    byId("mask-hide").disabled = !isDrawn;
    byId("mask-hide").setAttribute("aria-pressed", String(Boolean(this.isHidden)));
    byId("mask-empty").hidden = !this.item || this.item.has_guess;
    byId("mask-legend").replaceChildren(...this.shares.map(({ name, index, share }) => {
      const swatch = element("span", "swatch", [], { "aria-hidden": "true" });
      swatch.style.background = css(color(index));
      return element("li", "", [swatch, element("span", "legend-name", name), element("span", "", percent(share))]);
    }));
    this.changed();
  }

  async #load(item) {
    try {
      const { label, mask } = await post("guess", { item: item.id });
      if (this.item !== item || mask === null) return;
      const counts = await paint(this.canvas, mask);
      if (this.item !== item) return;
      this.shares = this.#sharesOf(counts);
      this.label = label;
      announce(`Proposed mask: ${this.summary()}. Enter accepts it.`);
    } catch (error) {
      showNotice(error.message);
    }
    this.draw();
  }

  #sharesOf(counts) {
    const total = this.canvas.width * this.canvas.height;
    const shown = [...counts].filter(([index]) => index !== 0 && index !== VOID);
    return shown.sort(([, one], [, other]) => other - one)
      .map(([index, pixels]) => ({ index, share: pixels / total, name: this.classes[index - 1]?.name ?? `class ${index}` }));
  }

  #accept() {
    if (this.label !== null) this.done(this.label);
    else if (this.item?.has_guess) showHint("The mask is not drawn yet.");
    else showHint("No mask is proposed for this image. Press h to hand it over.");
  }
}

function percent(share) {
  return `${Math.max(1, Math.round(100 * share))} %`;
}
