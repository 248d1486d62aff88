// A page of images that belong together: take out the odd ones, and give the others one class.

import { Accept } from "./accept.js";
import { post } from "./api.js";
import { announce, byId, button, count, element, options, showHint, showNotice } from "./dom.js";
import { meanings } from "./keys.js";
import { likeButton, look, lookButton, moveFocus, thumbnail } from "./tiles.js";

const MANY_CLASSES = 9; // buttons; more are a list
const MOST_SENT = 1000; // images that a request names at most
const GESTURE_MS = 250; // between the two clicks of a double click
const RETRY_MS = 2000;
const MOST_KEPT = 60; // images that were taken out and wait in the view of one image, before others get them
const NAMES = { "": "What fits best", class: "Surest of a class", alike: "Alike", text: "Nearest to a text", order: "In order" };

export class Bulk {
  constructor(labeler, outbox, tabs) {
    Object.assign(this, { labeler, outbox, tabs });
    this.accept = new Accept(outbox, () => this.#held(), (isLeased) => this.#labelSample(isLeased), (progress, isOther) => {
      labeler.dispatchEvent(new CustomEvent("progress", { detail: progress }));
      if (this.isOpen && isOther) this.load();
    });
    this.items = [];
    this.out = new Set(); // images of this page that do not belong
    this.denied = new Map(); // class names that an image was taken out of, by image
    this.passed = new Set(); // images of pages that were passed over
    this.leased = new Set(); // to this page, and not answered
    this.like = null;
    this.among = null; // the only images to choose from, if some were chosen on the map
    this.loads = 0; // so that only the answer to the last request is shown
    this.givenAt = -GESTURE_MS;
    this.isOpen = false;
    byId("bulk-grid").addEventListener("keydown", (event) => this.#onKey(event));
    byId("bulk-next").addEventListener("click", () => this.next());
    byId("bulk-all-images").addEventListener("click", () => {
      this.setAmong(null);
      this.load();
    });
    byId("bulk-undo").addEventListener("click", () => this.undo());
    byId("bulk-single").addEventListener("click", () => document.querySelector("[data-view=label]").click());
    byId("bulk-apply").addEventListener("click", (event) => {
      const one = this.session.classes.find(({ id }) => id === byId("bulk-all").value);
      if (one) this.#give(one, event);
      else showHint("Choose a class first.");
    });
    for (const id of ["bulk-by", "bulk-class", "bulk-size"]) {
      byId(id).addEventListener("change", () => {
        this.like = null;
        byId("bulk-class-label").hidden = byId("bulk-by").value !== "class";
        byId("bulk-text-label").hidden = byId("bulk-by").value !== "text";
        if (byId("bulk-by").value === "text" && id === "bulk-by") byId("bulk-text").focus();
        if (this.#isSearchable()) this.load();
      });
    }
    byId("bulk-text").addEventListener("keydown", async (event) => {
      if (event.key !== "Enter" || !this.#isSearchable()) return;
      this.like = null;
      this.passed.clear();
      await this.load();
      byId("bulk-grid").querySelector(".tile")?.focus(); // keys label the page again
    });
  }

  /** Use the classes of a session. */
  setSession(session) {
    const isOther = this.session && this.session.labeling !== session.labeling;
    this.session = session;
    if (isOther) this.setAmong(null);
    if (isOther || this.batch !== session.batch.id) {
      this.batch = session.batch.id;
      this.denied.clear();
      this.passed.clear();
      if (this.isOpen) this.load();
    }
    const key = JSON.stringify(session.classes.map(({ id, name }) => [id, name]));
    if (key === this.key1) return;
    this.key1 = key;
    const isMany = session.classes.length > MANY_CLASSES;
    const names = session.classes.map(({ id, name }) => [id, name]);
    byId("bulk-many").hidden = !isMany;
    options("bulk-all", [["", "Class …"], ...names]);
    options("bulk-class", [["", "any"], ...session.classes.map(({ name }) => [name, name])]);
    byId("bulk-classes").replaceChildren(...(isMany ? [] : session.classes).map((one) => {
      const parts = [`${one.name} `, ...(one.key ? [element("kbd", "", one.key)] : [])];
      return button(parts, (event) => this.#give(one, event));
    }));
    this.#drawState();
  }

  /** Choose among some images only, or among all. */
  setAmong(ids) {
    this.among = ids;
    this.like = null;
    this.passed.clear();
    byId("bulk-among").hidden = ids === null;
    byId("bulk-among-text").textContent = ids ? `Among ${count(ids.length, "image")} chosen on the map.` : "";
  }

  /** Show a page. */
  async open() {
    if (this.isOpen) return;
    this.isOpen = true;
    await this.outbox.flushed();
    await Promise.all([this.load(), this.accept.load()]);
  }

  /** Leave the images to the view of one image; those taken out come first there. */
  leave() {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.items = [];
    this.labeler.leaveToPage([]);
  }

  /** Load a page of images. */
  async load() {
    this.loading = this.#load();
    await this.loading;
  }

  async #load() {
    const load = this.loads += 1;
    byId("bulk-grid").setAttribute("aria-busy", "true");
    // Images chosen on the map leave the view of one image for this page
    const queued = this.among ? [] : this.labeler.queue.map((item) => item.id);
    const but = [...new Set([...queued, ...this.labeler.answered, ...this.tabs.held(), ...this.passed])];
    const kept = new Set([...this.denied.keys()].slice(-MOST_KEPT));
    const giveBack = [...this.leased].filter((id) => !kept.has(id));
    try {
      const found = await post("bulk/next", {
        count: Number(byId("bulk-size").value),
        by: byId("bulk-by").value || null,
        text: byId("bulk-by").value === "text" ? byId("bulk-text").value.trim() || null : null,
        class_name: byId("bulk-by").value === "class" ? byId("bulk-class").value || null : null,
        like: this.like?.id ?? null,
        among: this.among,
        but: but.slice(-MOST_SENT),
        denied: [...this.denied].flatMap(([item, names]) => [...names].map((name) => ({ item, class_name: name }))).slice(-MOST_SENT),
        give_back: giveBack.slice(-MOST_SENT),
      });
      for (const id of giveBack) this.leased.delete(id);
      for (const { id } of found.items) this.leased.add(id);
      if (load !== this.loads || !this.isOpen) return;
      if (found.items.length === 0 && this.passed.size > 0) {
        this.passed.clear(); // once around
        await this.load();
        return;
      }
      this.#set(found.items, found.by, found.class_name);
      this.#offer(found.kinds);
    } catch (error) {
      if (load !== this.loads || !this.isOpen) return;
      if (error.isTemporary) {
        const waiting = this.outbox.count;
        byId("bulk-title").textContent = `${error.message}${waiting ? ` ${count(waiting, "label")} wait for it, kept in this ${this.outbox.isVolatile ? "window: do not close it" : "browser"}.` : ""}`;
        setTimeout(() => { if (load === this.loads && this.isOpen) this.load(); }, RETRY_MS);
      } else if (error.code === "other_labeling") this.labeler.dispatchEvent(new CustomEvent("stale"));
      else showNotice(error.message);
    }
  }

  /** Show another page; this one comes again later. */
  async next() {
    this.like = null;
    for (const { id } of this.items) this.passed.add(id);
    await this.load();
  }

  /** Show images that are like one of them. */
  async showLike(item) {
    this.like = item;
    await this.load();
  }

  /** Undo the labels of the last page, and show its images again. */
  async undo() {
    const undone = await this.labeler.undoPage();
    if (!undone) {
      showHint("There is no page to undo.");
      return;
    }
    this.loads += 1; // the page that was asked for comes later
    for (const { id } of undone.images) {
      this.denied.delete(id);
      this.leased.add(id);
    }
    this.said = "";
    this.#set(undone.images, "undone", null);
  }

  /** Execute the command of a key; return whether it has one. */
  key(key) {
    const one = this.session?.classes.find((candidate) => candidate.key === key);
    if (one && this.items.length > 0) this.#give(one);
    else if (key === "z" || key === "Backspace") this.undo();
    else if (key === "n") this.next();
    else return false;
    return true;
  }

  /** Return why a key has no effect here; empty if no effect is expected. */
  reason(key) {
    if (key === "v" || key === "m") return "Choose an image first: Tab and the arrow keys go to one.";
    if (!/^[1-9]$/.test(key)) return "";
    return this.items.length === 0 ? "There are no images to label now." : `There is no class ${key}.`;
  }

  async #held() {
    this.isShownAt = null; // a key that is meant for the sample labels no page
    await this.loading; // its images are leased to this window, too
    return [...this.labeler.queue.map((item) => item.id), ...this.leased];
  }

  /** Open the view of one image, where the leased sample comes first. */
  async #labelSample(isLeased) {
    if (!isLeased) {
      await this.load();
      return;
    }
    byId("bulk-single").click();
    await this.labeler.restartQueue();
  }

  #give(one, event = null) {
    if (event?.detail > 0) { // a click: a double click labels no second page
      event.currentTarget.blur();
      if (event.timeStamp - this.givenAt < GESTURE_MS) return;
      this.givenAt = event.timeStamp;
    }
    if (this.isShownAt === null) {
      showHint("The next page is on its way.");
      return;
    }
    const chosen = this.items.filter((item) => !this.out.has(item.id));
    for (const id of this.out) this.denied.set(id, new Set([...(this.denied.get(id) ?? []), one.name]));
    const rest = this.out.size ? `; ${count(this.out.size, "image")} taken out` : "";
    if (chosen.length === 0) {
      showHint("All images are taken out. n shows another page.");
      return;
    }
    for (const { id } of chosen) this.leased.delete(id);
    this.labeler.answerPage(chosen, "label", one, (performance.now() - this.isShownAt) / 1000);
    this.said = `${count(chosen.length, "image")}: ${one.name}${rest}.`;
    announce(this.said);
    this.isShownAt = null;
    this.like = null;
    // The next page learns from this one, if the server has it
    this.outbox.flushed().then(() => { if (this.isShownAt === null) this.load(); });
  }

  #set(items, by, className) {
    const hadFocus = byId("bulk-grid").contains(document.activeElement);
    this.items = items;
    this.out.clear();
    byId("bulk-grid").setAttribute("aria-busy", "false");
    this.isShownAt = performance.now();
    this.labeler.leaveToPage(items.map((item) => item.id));
    this.title = titleOf(items.length, by, className, this.like, byId("bulk-text").value.trim());
    byId("bulk-grid").replaceChildren(...items.map((item) => this.#tile(item)));
    this.#drawState();
    if (hadFocus) byId("bulk-grid").querySelector(".tile")?.focus();
  }

  /** Return whether what is asked for can be shown; a text has to be written first. */
  #isSearchable() {
    if (byId("bulk-by").value !== "text" || byId("bulk-text").value.trim()) return true;
    showHint("Write what the images show, such as “a dog on a beach”, and press Enter.");
    return false;
  }

  #offer(kinds) {
    const key = kinds.join();
    if (byId("bulk-by").dataset.key === key) return;
    byId("bulk-by").dataset.key = key;
    this.hasLikeness = kinds.includes("alike");
    options("bulk-by", ["", ...kinds].map((kind) => [kind, NAMES[kind]]));
    byId("bulk-grid").classList.toggle("without-likeness", !this.hasLikeness);
  }

  #tile(item) {
    const picture = thumbnail(item.thumb_url);
    picture.alt = item.file_name;
    picture.removeAttribute("loading"); // one page, all in sight
    const tile = button([picture], () => this.#toggle(item), "tile", { "aria-pressed": "false", title: item.file_name });
    tile.dataset.item = item.id;
    return element("li", "", [tile, likeButton(item, () => this.showLike(item)), lookButton(item)]);
  }

  #toggle(item) {
    if (!this.out.delete(item.id)) this.out.add(item.id);
    this.#drawState();
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tiles = [...byId("bulk-grid").querySelectorAll(".tile")];
    const place = tiles.indexOf(document.activeElement);
    if (place < 0) return;
    const keys = meanings(event);
    if (keys.includes("v")) {
      if (!event.repeat) look(this.items[place]);
    } else if (keys.includes("m") && this.hasLikeness) {
      if (!event.repeat) this.showLike(this.items[place]);
    } else if (!moveFocus(tiles, place, event.key)) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #drawState() {
    for (const tile of byId("bulk-grid").querySelectorAll(".tile")) {
      tile.setAttribute("aria-pressed", String(this.out.has(tile.dataset.item)));
    }
    const isEmpty = this.items.length === 0;
    const left = this.items.length - this.out.size;
    byId("bulk-title").textContent = isEmpty ? "" : `${this.title}${this.out.size ? `; ${this.out.size} taken out, ${left} left` : ""}`;
    for (const one of [...byId("bulk-classes").children, byId("bulk-all"), byId("bulk-apply")]) one.disabled = left === 0;
    byId("bulk-hint").hidden = isEmpty;
    byId("bulk-empty").hidden = !isEmpty;
    byId("bulk-empty-text").textContent = `${this.said ?? ""} ${emptyText(this.session?.progress, this.among)}`.trim();
  }
}

function emptyText({ total, done } = { total: 0, done: 0 }, among = null) {
  if (total === 0) return "There is nothing to label yet.";
  if (done === total) return "All images are labeled.";
  if (among) return "None of the images chosen on the map waits for a page.";
  return "No page is left. The other images are for the view of one image, or others have them.";
}

function titleOf(number, by, className, like, text) {
  const images = count(number, "image");
  if (like) return `${images} like ${like.file_name}`;
  if (by === "class") return `${images}, surest to be ${className}`;
  if (by === "text") return text ? `${images} nearest to “${text}”` : "No text yet";
  if (by === "undone") return `${images} without a label again`;
  return by === "alike" ? `${images} that look alike` : `${images}, the next ones`;
}
