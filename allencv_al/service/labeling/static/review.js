// The grid of labeled images, to find mistakes and correct several at once.

import { get, newClientId, post } from "./api.js";
import { announce, byId, button, count, element, options, showHint, showNotice } from "./dom.js";
import { meanings } from "./keys.js";
import { likeButton, look, lookButton, moveFocus, thumbnail } from "./tiles.js";

const MANY_CLASSES = 9; // buttons; more are a list
const FILTERS = [
  ...["review-class", "review-person", "review-batch", "review-predicted", "review-sort"],
  ...["review-conflicts", "review-disagrees", "review-accepted"],
];
const KINDS = { unsure: "Not sure", unreadable: "Unreadable" };

export class Review {
  constructor(onProgress) {
    this.onProgress = onProgress;
    this.items = [];
    this.selected = new Set();
    this.last = null;
    this.session = null;
    this.like = null;
    this.loads = 0; // so that only the answer to the last request is shown
    for (const id of FILTERS) byId(id).addEventListener("change", () => this.load());
    byId("review-unlike").addEventListener("click", () => this.#showLike(null));
    byId("review-undo").addEventListener("click", () => this.undo());
    byId("review-more").addEventListener("click", () => this.#loadMore());
    byId("review-grid").addEventListener("keydown", (event) => this.#key(event));
    byId("decide-apply").addEventListener("click", () => {
      const one = this.classes.find(({ id }) => id === byId("decide-class").value);
      if (one) this.#decide("label", one);
      else showHint("Choose a class first.");
    });
  }

  /** Use the classes and annotators of a session. */
  setSession(session) {
    this.classes = session.widget === "choices" ? session.classes : []; // others are parts of labels
    const key = JSON.stringify([session.task, session.classes.map(({ id, name }) => [id, name]), session.annotators, session.loop !== null]);
    this.session = session;
    if (key === this.key) return;
    this.key = key;
    const kinds = Object.entries(KINDS).map(([id, name]) => [id, name]);
    const found = session.widget === "mask" ? [] : session.classes; // masks name classes by place
    options("review-class", [["", "all"], ...found.map(({ id, name }) => [id, name]), ...kinds]);
    options("review-predicted", [["", "anything"], ...this.classes.map(({ name }) => [name, name])]);
    for (const id of ["review-predicted", "review-sort", "review-disagrees"]) byId(id).parentElement.hidden = this.classes.length === 0;
    options("review-person", [["", "all"], ...session.annotators.map((name) => [name, name])]);
    byId("review-batch").parentElement.hidden = session.loop === null;
    const isMany = this.classes.length > MANY_CLASSES;
    byId("decide-many").hidden = !isMany;
    options("decide-class", [["", "Class …"], ...this.classes.map(({ id, name }) => [id, name])]);
    byId("decide-classes").replaceChildren(
      ...(isMany ? [] : this.classes).map((one) => button([one.name], () => this.#decide("label", one))),
    );
    byId("decide-kinds").replaceChildren(...kinds.map(([kind, name]) => button([name], () => this.#decide(kind), "quiet")));
    this.#drawSelection();
  }

  /** Show only conflicts. */
  showConflicts() {
    byId("review-conflicts").checked = true;
    byId("review-class").value = byId("review-person").value = "";
  }

  /** Load the images that match the filters. */
  async load() {
    this.items = [];
    this.selected.clear();
    this.next = null;
    await this.#loadMore();
  }

  /** Execute the command of a key; return whether it has one. */
  key1(key) {
    if (key === "z" && this.undoable) {
      this.undo();
      return true;
    }
    const one = this.classes?.find((candidate) => candidate.key === key);
    if (!one || this.selected.size === 0) return false;
    this.#decide("label", one);
    return true;
  }

  /** Return why a key has no effect here; empty if no effect is expected. */
  reason(key) {
    if (key === "z") return "There is no change to undo.";
    if (key === "v") return "Choose an image first: Tab and the arrow keys go to one.";
    if (!/^[1-9]$/.test(key)) return "";
    return this.selected.size === 0 ? "Select images first." : `There is no class ${key}.`;
  }

  async #loadMore() {
    const load = this.loads += 1;
    const chosen = byId("review-class").value;
    const query = {
      batch: byId("review-batch").value,
      class_id: chosen in KINDS ? "" : chosen,
      kind: chosen in KINDS ? chosen : "",
      annotator: byId("review-person").value,
      conflicts: byId("review-conflicts").checked ? "true" : "",
      disagrees: byId("review-disagrees").checked ? "true" : "",
      accepted: byId("review-accepted").checked ? "true" : "",
      predicted: byId("review-predicted").value,
      sort: byId("review-sort").value,
      like: this.like?.id ?? null,
      after: this.next,
    };
    try {
      const found = await get("review", query);
      if (load !== this.loads) return;
      this.items.push(...found.items);
      this.next = found.next;
      this.hasLikeness = found.has_likeness;
      byId("review-grid").classList.toggle("without-likeness", !found.has_likeness);
    } catch (error) {
      showNotice(error.message);
    }
    this.#draw();
  }

  async #decide(kind, one = null) {
    const items = [...this.selected];
    if (items.length === 0) {
      showHint("Select images first.");
      return;
    }
    if (this.isDeciding) return; // the second half of a double click
    this.isDeciding = true;
    const body = { client_id: newClientId(), items, kind };
    if (one) body.class_id = one.id;
    try {
      const { decided, progress } = await post("review", body);
      this.onProgress(progress);
      this.undoable = body.client_id;
      this.said = `Done: ${count(decided, "image")} ${decided === 1 ? "is" : "are"} now: ${one ? one.name : KINDS[kind]}`;
      announce(this.said);
      await this.load();
    } catch (error) {
      showNotice(error.message);
    } finally {
      this.isDeciding = false;
    }
  }

  /** Undo the last change. */
  async undo() {
    if (!this.undoable) return;
    const clientId = this.undoable;
    this.undoable = null;
    try {
      const { decided, progress } = await post("review/undo", { client_id: clientId });
      this.onProgress(progress);
      this.said = `Undone: ${count(decided, "image")}`;
      announce(this.said);
      await this.load();
    } catch (error) {
      showNotice(error.message);
    }
  }

  #toggle(place, isRange) {
    if (isRange && this.last !== null) {
      const [from, to] = [Math.min(place, this.last), Math.max(place, this.last)];
      for (const one of this.items.slice(from, to + 1)) this.selected.add(one.item.id);
    } else {
      const { id } = this.items[place].item;
      if (!this.selected.delete(id)) this.selected.add(id);
      this.last = place;
    }
    this.#drawSelection();
  }

  #key(event) {
    const tiles = [...byId("review-grid").querySelectorAll(".tile")];
    const place = tiles.indexOf(document.activeElement);
    if (place < 0) return;
    if (event.ctrlKey || event.metaKey || event.altKey ? false : meanings(event).includes("v")) {
      if (event.repeat) return;
      look(this.items[place].item);
    } else if (event.ctrlKey || event.metaKey || event.altKey ? false : this.hasLikeness && meanings(event).includes("m")) {
      if (!event.repeat) this.#showLike(this.items[place].item);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      for (const one of this.items) this.selected.add(one.item.id);
      this.#drawSelection();
    } else if (!moveFocus(tiles, place, event.key)) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #draw() {
    byId("review-empty").hidden = this.items.length > 0;
    byId("review-more").hidden = this.next === null;
    byId("review-grid").replaceChildren(...this.items.map((one, place) => this.#tile(one, place)));
    this.#drawSelection();
  }

  /** Sort the images by their likeness to one of them, or as before. */
  #showLike(item) {
    this.like = item;
    byId("review-unlike").hidden = item === null;
    byId("review-unlike").textContent = item ? `Most like ${item.file_name} first ✕` : "";
    return this.load();
  }

  #tile(one, place) {
    const label = one.conflict ? "Conflict" : one.class_name ?? KINDS[one.kind] ?? "Not enough answers";
    const said = one.answers.map((answer) => `${answer.annotator}${answer.source === "model" ? " (unseen)" : ""}: ${answer.class_name ?? KINDS[answer.kind] ?? answer.kind}`);
    if (one.decision) said.push(`decided by ${one.decision.annotator}`);
    if (one.predicted !== null) said.push(`model: ${one.predicted} ${Math.round(100 * one.probability)} %`);
    const picture = thumbnail(one.item.thumb_url);
    const name = element("span", "tile-name soft", one.item.file_name);
    const tile = button(
      [picture, element("span", one.conflict ? "tile-label conflict" : "tile-label", label), name, element("span", "tile-said soft", said.join(", "))],
      (event) => this.#toggle(place, event.shiftKey),
      "tile",
      { "aria-pressed": "false", title: one.item.file_name },
    );
    tile.dataset.item = one.item.id;
    return element("li", "", [tile, likeButton(one.item, () => this.#showLike(one.item)), lookButton(one.item)]);
  }

  #drawSelection() {
    for (const tile of byId("review-grid").querySelectorAll(".tile")) {
      tile.setAttribute("aria-pressed", String(this.selected.has(tile.dataset.item)));
    }
    const number = this.selected.size;
    byId("selected").textContent = number ? `${count(number, "image")} selected; ${number === 1 ? "it is" : "they are"}:` : this.said ?? "Select images to change them";
    if (this.session && this.session.widget !== "choices") this.#offerAnswers();
    const deciders = [...byId("decide-classes").children, ...byId("decide-kinds").children, byId("decide-class"), byId("decide-apply")];
    for (const one of deciders) one.disabled = number === 0;
    byId("review-undo").hidden = !this.undoable;
  }

  /** Offer the answers of the selected image: one of them can be decided for. */
  #offerAnswers() {
    const one = this.selected.size === 1 ? this.items.find(({ item }) => this.selected.has(item.id)) : null;
    const given = (one?.answers ?? []).filter(({ kind }) => kind === "label");
    byId("decide-classes").replaceChildren(...given.map(({ annotator, class_id: id, class_name: name }) => button([`${annotator}: ${name}`], () => this.#decide("label", { id, name }))));
  }
}
