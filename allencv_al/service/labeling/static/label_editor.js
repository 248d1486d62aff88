// Editors of labels that are more than one class: what the page asks of each, and its undo.

import { byId, showHint } from "./dom.js";

/**
 * The label of the shown image while it is edited. The page knows no kind of label: it passes on
 * classes, keys and drafts, and stores the text of the event `done`. `change` follows each change.
 */
export class LabelEditor extends EventTarget {
  /** Keys of the editor, for the help: pairs of a key and its effect. */
  static keys = [];

  constructor(stage) {
    super();
    this.stage = stage;
    this.classes = [];
    this.past = [];
    this.future = [];
  }

  /** Whether the classes are switched on and off, rather than one chosen among them. */
  get isMultiple() {
    return false;
  }

  /** The ids of the classes that are shown as pressed. */
  get pressed() {
    return new Set();
  }

  /** Whether there is a change to undo. */
  get canUndo() {
    return this.past.length > 0;
  }

  /** Use the classes of a session. */
  setClasses(classes) {
    this.classes = classes;
    this.draw();
  }

  /** Edit the label of an image, from a text or from nothing; null without an image. */
  open(item, text) {
    this.past = [];
    this.future = [];
    this.group = null;
    this.restore(this.read(text));
    this.draw();
  }

  /** Add the model's label, to be corrected. */
  addDraft() {}

  /** Use a class. */
  choose() {}

  /** Execute the command of a key; return whether it has one. */
  key(key) {
    if (key === "y") return this.redo();
    return key === "z" && this.undo();
  }

  /** Return why a key has no effect here; empty if no effect is expected. */
  reason() {
    return "";
  }

  /** Undo a change; return whether there was one. */
  undo() {
    return this.#travel(this.past, this.future);
  }

  /** Redo a change that was undone. */
  redo() {
    if (!this.#travel(this.future, this.past)) showHint("There is no change to redo.");
    return true;
  }

  // -- Of the subclasses -------------------------------------------------------------------------

  /** Let buttons execute the commands of keys, by the ids of the buttons. */
  bind(commands) {
    for (const [id, key] of Object.entries(commands)) {
      byId(id).addEventListener("click", (event) => {
        if (event.detail > 0) event.currentTarget.blur(); // of a mouse: keys shall not press it again
        this.key(key);
      });
    }
  }

  /** Change the state; changes of one group, such as steps of an arrow, are undone together. */
  change(state, group = null) {
    if (group === null || group !== this.group) this.past.push(this.state());
    this.group = group;
    this.future = [];
    this.restore(state);
    this.draw();
  }

  /** Give the label to the page, which stores it. */
  done(text) {
    this.dispatchEvent(new CustomEvent("done", { detail: { text, said: this.summary() } }));
  }

  /** Tell the page that something has changed. */
  changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }

  nameOf(id) {
    return this.classes.find((one) => one.id === id)?.name ?? "?";
  }

  #travel(from, to) {
    if (from.length === 0) return false;
    to.push(this.state());
    this.restore(from.pop());
    this.group = null;
    this.draw();
    this.travelled();
    return true;
  }
}

/** Return whether the Enter of an event presses a button or a link, and is no command. */
export function pressesButton(event) {
  return Boolean(event?.target.closest?.("button, a, select, summary"));
}
