// What is labeled now: the image, the answers given, and the way back.

import { annotatorName, get, newClientId, post } from "./api.js";
import { announce, byId, button, count, element, showNotice } from "./dom.js";

const AHEAD = 6;
const MANY_CLASSES = 9;
const WORDS = { skip: "skipped", unsure: "not sure", unreadable: "unreadable" };

export class Labeler extends EventTarget {
  constructor(stage, outbox) {
    super();
    this.stage = stage;
    this.outbox = outbox;
    this.queue = []; // images promised to us; the first one is shown
    this.given = []; // answers that can be taken back, the newest last
    this.classes = [];
    this.answered = new Set(); // what the server may still offer, because it was asked before
    this.skippedAgain = false;
    this.shown = null;
    this.filling = null;
    this.#listen();
  }

  /** The image that is shown; null where there is none. */
  get current() {
    return this.queue[0] ?? null;
  }

  /** Begin: what was answered before can be taken back, and the first image comes. */
  async start() {
    const { answers } = await get("history", { limit: 200 });
    this.given = answers.reverse().map((answer) => ({
      item: itemOf(answer),
      eventId: answer.event_id,
      kind: answer.kind,
      className: answer.class_name,
    }));
    for (const answer of this.outbox.waiting) {
      this.answered.add(answer.item);
      this.given.push({
        item: { id: answer.item, file_name: answer.file_name, ...urlsOf(answer.item) },
        clientId: answer.client_id,
        kind: answer.kind,
        className: this.classes.find((one) => one.id === answer.class_id)?.name,
      });
    }
    await this.fill();
  }

  /** Take over the classes of the session. */
  setClasses(classes) {
    const before = JSON.stringify(this.classes.map(({ id, name, key }) => [id, name, key]));
    const now = JSON.stringify(classes.map(({ id, name, key }) => [id, name, key]));
    this.classes = classes;
    if (before !== now) this.#drawClasses();
  }

  /** Have as many images as are shown and loaded ahead; show the first one. */
  async fill() {
    this.filling ??= this.#fill().finally(() => { this.filling = null; });
    await this.filling;
  }

  /** Look at what was skipped. */
  async lookAtSkipped() {
    this.skippedAgain = true;
    this.answered.clear();
    await this.filling;
    await this.fill();
  }

  /** Forget the images of a batch that is over. */
  async restart() {
    this.queue = [];
    this.given = [];
    this.answered.clear();
    this.skippedAgain = false;
    this.#show();
    await this.start();
  }

  /** Say what the image shows, and go on to the next one. */
  answer(kind, one = null) {
    const item = this.current;
    if (!item) return;
    const seconds = Math.min(86400, (performance.now() - this.shownAt) / 1000);
    const clientId = newClientId();
    this.queue.shift();
    this.answered.add(item.id);
    this.given.push({ item, clientId, kind, className: one?.name });
    const body = { client_id: clientId, item: item.id, kind, seconds };
    if (one) body.class_id = one.id;
    this.outbox.add({ ...body, file_name: item.file_name });
    announce(`${item.file_name}: ${one ? one.name : WORDS[kind]}`);
    this.#show();
    this.fill();
  }

  /** Take the last answer back, and show its image again; asked for several times, so many. */
  undo() {
    this.undoing = (this.undoing ?? Promise.resolve()).then(() => this.#undo());
    return this.undoing;
  }

  async #undo() {
    const last = this.given.at(-1);
    if (!last) return;
    try {
      if (last.clientId && !this.outbox.remove(last.clientId)) {
        await this.outbox.settled(last.clientId);
        if (!last.eventId && this.given.at(-1) === last) return; // it was refused meanwhile
      }
      if (last.eventId) {
        const undone = await post("undo", { event_id: last.eventId });
        this.#tell("progress", undone.progress);
        last.item = { ...last.item, ...undone.item };
      }
      this.given = this.given.filter((other) => other !== last);
      this.answered.delete(last.item.id);
      this.queue = [last.item, ...this.queue.filter((item) => item.id !== last.item.id)];
      announce(`Taken back: ${last.item.file_name}`);
      this.#show();
    } catch (error) {
      showNotice(`Undo: ${error.message}`);
      if (error.status === 409) this.given = this.given.filter((other) => other !== last);
    }
  }

  /** Show what the model takes the image for. */
  async guess() {
    const item = this.current;
    if (!item?.has_guess) return;
    try {
      const { probabilities } = await post("guess", { item: item.id });
      if (this.current !== item) return;
      const text = probabilities.map((one) => `${one.class_name} ${Math.round(100 * one.probability)} %`);
      byId("guess-text").textContent = `The model says: ${text.join(", ")}`;
      byId("guess-text").hidden = false;
    } catch (error) {
      showNotice(error.message);
    }
  }

  /** Do what a key means here; return whether it means something. */
  key(key) {
    const one = this.classes.find((candidate) => candidate.key === key);
    if (one && this.current) this.answer("label", one);
    else if (key === "z" || key === "Backspace") this.undo();
    else if (!this.current) return false;
    else if (key === "s") this.answer("skip");
    else if (key === "u") this.answer("unsure");
    else if (key === "x") this.answer("unreadable");
    else if (key === "g") this.guess();
    else if (key === "/" && !byId("filter").hidden) byId("filter").focus();
    else return this.stage.key(key);
    return true;
  }

  #listen() {
    for (const kind of ["skip", "unsure", "unreadable"]) {
      byId(kind).addEventListener("click", (event) => {
        if (event.detail > 0) event.currentTarget.blur(); // of a mouse: keys shall not press it again
        this.answer(kind);
      });
    }
    byId("undo").addEventListener("click", () => this.undo());
    byId("guess").addEventListener("click", () => this.guess());
    byId("filter").addEventListener("input", () => this.#drawClasses());
    byId("filter").addEventListener("keydown", (event) => {
      if (event.key === "Escape") byId("main").focus();
      if (event.key !== "Enter") return;
      const [first] = this.#found();
      if (!first) return;
      byId("filter").value = "";
      this.#drawClasses();
      byId("main").focus();
      this.answer("label", first);
    });
    this.outbox.addEventListener("stored", ({ detail }) => {
      const of = this.given.find((one) => one.clientId === detail.clientId);
      if (of) of.eventId = detail.answer.event_id;
      this.#tell("progress", detail.progress);
    });
    this.outbox.addEventListener("refused", ({ detail }) => {
      this.given = this.given.filter((one) => one.clientId !== detail.answer.client_id);
      showNotice(`${detail.fileName}: your answer was not stored: ${detail.message}.`);
      this.#show();
    });
  }

  async #fill() {
    if (this.queue.length < AHEAD) {
      try {
        const { items } = await post("next", { count: AHEAD, skipped: this.skippedAgain });
        const known = new Set(this.queue.map((item) => item.id));
        const fresh = items.filter((item) => !known.has(item.id) && !this.answered.has(item.id));
        this.queue.push(...fresh.slice(0, AHEAD - this.queue.length));
      } catch (error) {
        if (!error.isTemporary) showNotice(error.message);
      }
    }
    for (const item of this.queue.slice(1)) new Image().src = item.image_url;
    this.#show();
  }

  #show() {
    const item = this.current;
    if (item !== this.shown) {
      this.shown = item;
      this.shownAt = performance.now();
      byId("guess-text").hidden = true;
      if (item) this.stage.show(item);
    }
    byId("file-name").textContent = item?.file_name ?? "";
    byId("reason").textContent = item?.reason ?? "";
    byId("guess").hidden = !item?.has_guess;
    byId("undo").disabled = this.given.length === 0;
    const last = this.given.at(-1);
    byId("last").textContent = last ? `Last: ${last.item.file_name}: ${last.className ?? WORDS[last.kind]}` : "";
    this.#tell("shown");
  }

  #found() {
    const text = byId("filter").value.trim().toLowerCase();
    return this.classes.filter((one) => one.name.toLowerCase().includes(text));
  }

  #drawClasses() {
    byId("filter").hidden = this.classes.length <= MANY_CLASSES;
    byId("no-classes").hidden = this.classes.length > 0;
    byId("classes").replaceChildren(
      ...this.#found().map((one) => {
        const parts = [element("span", "class-name", one.name)];
        if (one.key) parts.push(element("kbd", "", one.key));
        return button(parts, () => this.answer("label", one), "class-button");
      }),
    );
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Return who labels, to be shown. */
export function whoLabels(session) {
  return annotatorName() ?? session.annotator;
}

/** Return the text of the pace: "12 per minute, about 3 minutes left". */
export function paceText(progress) {
  const parts = [];
  if (progress.labels_per_minute) parts.push(`${Math.round(progress.labels_per_minute)} per minute`);
  const left = progress.total - progress.done - progress.conflicts;
  if (progress.seconds_left !== null && left > 0) parts.push(`about ${duration(progress.seconds_left)} left`);
  if (progress.skipped) parts.push(`${progress.skipped} skipped`);
  if (progress.conflicts) parts.push(count(progress.conflicts, "conflict"));
  return parts.join(" · ");
}

function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds / 10)) * 10} seconds`;
  if (seconds < 5400) return count(Math.round(seconds / 60), "minute");
  return `${(seconds / 3600).toFixed(1)} hours`;
}

function itemOf(answer) {
  return { id: answer.item, file_name: answer.file_name, reason: null, has_guess: false, ...urlsOf(answer.item) };
}

function urlsOf(id) {
  return { image_url: `api/images/${id}?size=full`, thumb_url: `api/images/${id}?size=thumb` };
}
