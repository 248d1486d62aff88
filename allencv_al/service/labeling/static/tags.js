// Several classes of an image: switched on and off by keys, clicks or the search.

import { announce, button, byId, element, showHint } from "./dom.js";
import { LabelEditor, pressesButton } from "./label_editor.js";

export class TagEditor extends LabelEditor {
  static keys = [
    ["1 … 9", "Switch a class on or off"], ["Enter", "Done: store the chosen classes"],
    ["n", "None of the classes"], ["Esc", "Choose nothing"],
    ["z  y", "Undo and redo a change, also with Ctrl; then the last answer"],
  ];

  constructor(stage) {
    super(stage);
    this.tags = []; // { id, isDraft } in the order of choosing; never changed in place
    byId("tag-panel").hidden = false;
    this.bind({ "tag-redo": "y", "tag-none": "n", "tag-done": "Enter" });
  }

  get isMultiple() {
    return true;
  }

  get pressed() {
    return new Set(this.tags.map(({ id }) => id));
  }

  open(item, text) {
    this.isOpen = Boolean(item);
    super.open(item, text);
  }

  addDraft(text) {
    const added = this.read(text).filter(({ id }) => !this.pressed.has(id));
    if (added.length > 0) this.change([...this.tags, ...added.map((tag) => ({ ...tag, isDraft: true }))]);
    announce(`${this.#said()} Enter confirms it.`);
  }

  /** Switch a class on or off. */
  choose({ id, name }) {
    if (!this.isOpen) return;
    const rest = this.tags.filter((tag) => tag.id !== id);
    const isNew = rest.length === this.tags.length;
    this.change(isNew ? [...rest, { id }] : rest);
    announce(`${name} ${isNew ? "on" : "off"}. ${this.#said()}`);
  }

  key(key, event = null) {
    if (key === "Enter") return !pressesButton(event) && this.#submit();
    if (key === "n") return this.#submitNone();
    if (key === "Escape" && this.tags.length > 0) {
      this.change([]);
      announce(this.#said());
      return true;
    }
    return super.key(key);
  }

  /** Return the chosen classes, as a person reads them. */
  summary() {
    return this.#names().join(", ") || "(none)";
  }

  read(text) {
    return text ? JSON.parse(text).map((id) => ({ id })) : [];
  }

  state() {
    return this.tags;
  }

  restore(tags) {
    this.tags = tags;
  }

  travelled() {
    announce(this.#said());
  }

  draw() {
    const chips = this.tags.map(({ id, isDraft }) => {
      const name = this.nameOf(id);
      const content = [`${name}${isDraft ? " (draft)" : ""} `, element("span", "", "✕", { "aria-hidden": "true" })];
      return element("li", "", button(content, () => this.choose({ id, name }), isDraft ? "quiet draft" : "quiet", { "aria-label": `Remove ${name}` }));
    });
    byId("tag-list").replaceChildren(...chips);
    byId("tag-empty").hidden = this.tags.length > 0;
    byId("tag-redo").disabled = this.future.length === 0;
    this.changed();
  }

  #submit() {
    if (this.tags.length === 0) showHint("No class is chosen. Press n if the image shows none of them.");
    else this.#answer();
    return true;
  }

  #submitNone() {
    if (this.tags.length > 0) showHint("Classes are chosen. Press Esc to choose none of them, or Enter to store them.");
    else this.#answer();
    return true;
  }

  #answer() {
    this.done(JSON.stringify(this.tags.map(({ id }) => id)));
  }

  #names() {
    const { pressed } = this;
    return this.classes.filter(({ id }) => pressed.has(id)).map(({ name }) => name);
  }

  #said() {
    return this.tags.length > 0 ? `Chosen: ${this.summary()}.` : "Nothing is chosen.";
  }
}
