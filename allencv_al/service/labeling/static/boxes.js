// Boxes over the large image: drawn, moved and resized by mouse, touch and keys; with undo.

import * as shapes from "./box_shapes.js";
import { announce, button, byId, element, showHint } from "./dom.js";
import { LabelEditor, pressesButton } from "./label_editor.js";

const SVG = "http://www.w3.org/2000/svg";
const LEAST = 3; // pixels of the screen: below, a drag is a click
const GRIP = { mouse: 8, pen: 12, touch: 22 }; // reach of a handle, in pixels of the screen
const STEP = 1;
const LONG_STEP = 10;
const COLORS = 8;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class BoxEditor extends LabelEditor {
  static keys = [
    ["drag", "Draw a box in the chosen class; move the selected one; its handles resize it"],
    ["1 … 9", "Choose the class, also of the selected box"], ["n", "New box in the middle"],
    ["j  k", "Select the box before, the next one"], ["arrows", "Move the selected box; with Shift by 10 pixels"],
    ["e", "Arrows resize instead of move, and back"], ["Delete", "Delete the selected box"],
    ["Esc", "Cancel a drag; select nothing"], ["z  y", "Undo and redo a change, also with Ctrl; then the last answer"],
    ["Enter", "Done: store the boxes"], ["o", "No objects in this image"], ["Space + drag", "Move the enlarged image"],
  ];

  constructor(stage) {
    super(stage);
    this.classId = null; // of the next box
    this.size = null; // of the image, in pixels of its file
    this.boxes = [];
    this.selected = -1;
    this.drag = null;
    this.resizes = false; // whether arrows resize
    this.layer = byId("boxes");
    this.layer.removeAttribute("hidden");
    byId("box-panel").hidden = false;
    stage.tool = this;
    stage.addEventListener("change", () => this.draw());
    this.bind({ "box-new": "n", "box-delete": "Delete", "box-redo": "y", "box-none": "o", "box-done": "Enter" });
  }

  get pressed() {
    return new Set(this.classId === null ? [] : [this.classId]);
  }

  setClasses(classes) {
    if (!classes.some(({ id }) => id === this.classId)) this.classId = classes[0]?.id ?? null;
    super.setClasses(classes);
  }

  open(item, text) {
    this.size = item?.width ? [item.width, item.height] : null;
    this.drag = null;
    this.resizes = false;
    super.open(item, text);
  }

  /** Show the boxes of the model, to be corrected; those drawn so far stay. */
  addDraft(text) {
    const boxes = shapes.parsed(text);
    this.change([[...this.boxes, ...boxes.map((box) => ({ ...box, isDraft: true }))], -1]);
    announce(`The model found ${boxes.length} ${boxes.length === 1 ? "box" : "boxes"}. Enter confirms them.`);
  }

  /** Choose a class: of the selected box, and of those drawn from now on. */
  choose(one) {
    this.classId = one.id;
    const box = this.boxes[this.selected];
    if (box && box.label !== one.id) this.#replace({ ...box, label: one.id });
    this.draw();
  }

  /** Execute the command of a key; return whether it has one. */
  key(key, event = null) {
    if (key === "Enter") return this.#submit(event);
    if (key === "o") return this.#submitNone();
    if (key === "n") return this.#add();
    if (key === "y" || key === "z") return super.key(key);
    if (key === "Escape") return this.#escape();
    if (key === "j" || key === "k") return this.#select(key === "k" ? 1 : -1);
    const box = this.boxes[this.selected];
    if (!box) return false;
    if (key === "Delete" || key === "Backspace") return this.#delete();
    if (key === "e") return this.#toggleResizing();
    if (!MOVES[key]) return false;
    const step = event?.shiftKey ? LONG_STEP : STEP;
    const [dx, dy] = MOVES[key].map((one) => one * step);
    this.#replace(this.resizes ? shapes.resized(box, "se", dx, dy, this.size) : shapes.moved(box, dx, dy, this.size), `arrows ${this.selected}`);
    return true;
  }

  reason(key) {
    return ["j", "k", "Delete", "e"].includes(key) ? "Select a box first: click it, or press n for a new one." : "";
  }

  // -- Pointers, as the stage passes them on ---------------------------------------------------

  /** Begin a drag at a point of the frame; return whether it is the editor's. */
  down(at, event) {
    if (!this.size || event.button > 0) return false;
    const point = this.stage.toImage(at, this.size);
    const handle = this.#handleAt(at, GRIP[event.pointerType] ?? GRIP.mouse);
    const box = this.boxes[this.selected];
    const isInside = box && shapes.smallestAt([box], point, 0) === 0;
    this.drag = { at, from: point, box, handle, kind: handle ? "resize" : isInside ? "move" : "draw", isFar: false };
    return true;
  }

  /** Continue a drag. */
  move(at) {
    const { drag } = this;
    if (!drag) return;
    drag.isFar ||= Math.hypot(at[0] - drag.at[0], at[1] - drag.at[1]) >= LEAST;
    if (!drag.isFar) return;
    const point = this.stage.toImage(at, this.size);
    const [dx, dy] = [point[0] - drag.from[0], point[1] - drag.from[1]];
    if (drag.kind === "draw") drag.now = { label: this.classId, ...shapes.between(drag.from, point, this.size) };
    else if (drag.kind === "move") drag.now = shapes.moved(drag.box, dx, dy, this.size);
    else drag.now = shapes.resized(drag.box, drag.handle, dx, dy, this.size);
    this.draw();
  }

  /** End a drag: a short one is a click, which selects. */
  up() {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    if (!drag.now) {
      this.selected = shapes.smallestAt(this.boxes, drag.from, LEAST / this.stage.pixelsOf(this.size));
      this.#say();
    } else if (drag.kind !== "draw") {
      this.#replace(confirmed(drag.now));
    } else if (this.classId === null) {
      showHint("There are no classes yet. Press c to add one.");
    } else if (Math.min(drag.now.width, drag.now.height) * this.stage.pixelsOf(this.size) >= LEAST) {
      this.change([[...this.boxes, drag.now], this.boxes.length]);
    }
    this.draw();
  }

  /** Forget a drag: a second finger has come. */
  cancel() {
    this.drag = null;
    this.draw();
  }

  // -- Changes -----------------------------------------------------------------------------------

  #submit(event) {
    if (pressesButton(event)) return false;
    if (this.boxes.length === 0) showHint("There is no box yet. Press o if the image shows no object.");
    else this.#answer();
    return true;
  }

  #submitNone() {
    if (this.boxes.length > 0) showHint("There are boxes. Delete them first (Delete), or press Enter to store them.");
    else this.#answer();
    return true;
  }

  #answer() {
    if (!this.size) {
      showHint("This image is not shown, so it gets no boxes.");
      return;
    }
    this.done(shapes.textOf(this.boxes));
  }

  /** Return how many boxes of which class there are, as a person reads it. */
  summary() {
    return shapes.summary(this.boxes, (id) => this.nameOf(id));
  }

  #add() {
    if (!this.size || this.classId === null) {
      showHint(this.size ? "There are no classes yet. Press c to add one." : "This image is not shown.");
      return true;
    }
    const [low, high] = this.stage.visible(this.size);
    const corner = (share) => low.map((start, axis) => start + share * (high[axis] - start));
    const box = { label: this.classId, ...shapes.between(corner(0.375), corner(0.625), this.size) };
    this.change([[...this.boxes, box], this.boxes.length]);
    this.#say();
    return true;
  }

  #delete() {
    const rest = this.boxes.filter((_, place) => place !== this.selected);
    this.change([rest, Math.min(this.selected, rest.length - 1)]);
    announce(`Deleted. ${this.summary()}`);
    return true;
  }

  #toggleResizing() {
    this.resizes = !this.resizes;
    showHint(this.resizes ? "Arrows resize the box now. e: they move it again." : "Arrows move the box.");
    return true;
  }

  #escape() {
    if (this.drag) this.drag = null;
    else this.selected = -1;
    this.resizes = false;
    this.draw();
    return true;
  }

  #select(step) {
    if (this.boxes.length === 0) return false;
    const start = this.selected < 0 && step < 0 ? 0 : this.selected;
    this.selected = (start + step + this.boxes.length) % this.boxes.length;
    this.draw();
    this.#say();
    return true;
  }

  #replace(box, group = null) {
    this.change([this.boxes.map((old, place) => (place === this.selected ? confirmed(box) : old)), this.selected], group);
  }

  read(text) {
    return [shapes.parsed(text), -1];
  }

  state() {
    return [this.boxes, this.selected];
  }

  restore([boxes, selected]) {
    this.boxes = boxes;
    this.selected = selected;
  }

  travelled() {
    announce(this.summary());
  }

  // -- What is seen ------------------------------------------------------------------------------

  #handleAt(at, reach) {
    const box = this.boxes[this.selected];
    if (!box) return null;
    const gaps = shapes.handlesOf(box).map(([name, point]) => {
      const [x, y] = this.stage.toFrame(point, this.size);
      return [Math.hypot(x - at[0], y - at[1]), name];
    });
    // Corners come first where a small box has its handles close together
    const [gap, name] = gaps.sort((one, other) => one[0] - other[0] || other[1].length - one[1].length)[0];
    return gap <= reach ? name : null;
  }

  draw() {
    const shown = this.size ? this.boxes.map((box, place) => (place === this.selected && this.drag?.now && this.drag.kind !== "draw" ? this.drag.now : box)) : [];
    const drawn = this.drag?.kind === "draw" && this.drag.now ? [this.drag.now] : [];
    this.layer.replaceChildren(
      ...shown.map((box, place) => this.#shape(box, place === this.selected)),
      ...drawn.map((box) => this.#shape(box, false)),
    );
    this.#list();
  }

  #shape(box, isSelected) {
    const [left, top] = this.stage.toFrame([box.x, box.y], this.size);
    const [right, bottom] = this.stage.toFrame([box.x + box.width, box.y + box.height], this.size);
    const place = this.classes.findIndex(({ id }) => id === box.label);
    const group = svg("g", { class: `box color-${Math.max(0, place) % COLORS}${isSelected ? " selected" : ""}${box.isDraft ? " draft" : ""}` });
    const frame = { x: left, y: top, width: Math.max(1, right - left), height: Math.max(1, bottom - top) };
    group.append(svg("rect", { class: "box-edge", ...frame }), svg("rect", { class: "box-line", ...frame }));
    const name = svg("text", { x: left + 3, y: top > 16 ? top - 4 : top + 14 });
    name.textContent = this.nameOf(box.label);
    group.append(name);
    if (isSelected) {
      for (const [, point] of shapes.handlesOf(box)) {
        const [x, y] = this.stage.toFrame(point, this.size);
        group.append(svg("rect", { class: "box-handle", x: x - 5, y: y - 5, width: 10, height: 10 }));
      }
    }
    return group;
  }

  #list() {
    const lines = this.boxes.map((box) => `${this.nameOf(box.label)}${box.isDraft ? " (draft)" : ""}: ${Math.round(box.x)}, ${Math.round(box.y)}, ${Math.round(box.width)} × ${Math.round(box.height)}`);
    if (JSON.stringify(lines) !== this.listed) { // else the focus would be lost
      this.listed = JSON.stringify(lines);
      byId("box-list").replaceChildren(...lines.map((text, place) => element("li", "", button(text, () => {
        this.selected = place;
        this.draw();
      }, "quiet"))));
    }
    [...byId("box-list").querySelectorAll("button")].forEach((one, place) => one.setAttribute("aria-pressed", String(place === this.selected)));
    byId("box-empty").hidden = this.boxes.length > 0;
    byId("box-delete").disabled = this.selected < 0;
    byId("box-redo").disabled = this.future.length === 0;
    byId("box-class").textContent = this.classId === null ? "" : `New boxes: ${this.nameOf(this.classId)}`;
    this.changed();
  }

  #say() {
    const box = this.boxes[this.selected];
    if (box) announce(`Box ${this.selected + 1} of ${this.boxes.length}: ${this.nameOf(box.label)}, ${box.width} by ${box.height} at ${box.x}, ${box.y}`);
  }
}

function confirmed({ isDraft, ...box }) {
  return box;
}

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
