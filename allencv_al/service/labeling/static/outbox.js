// Unsent answers. They are kept in this browser until the server has stored them, so that a lost
// connection, a reload or a restart of the server loses none.
//
// Each has a key of its own, because several windows write at once, and names its labeling and its
// annotator: answers for others than those served now stay until these are served again.

import { post } from "./api.js";

const storage = available();
const PREFIX = "allencv-al-answer:";
const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15000, 30000, 60000];
const FLUSH_MS = 1000;
const ELSEWHERE = ["other_labeling", "other_annotator", "other_image"];
const SENT = ["client_id", "item", "items", "kind", "class_id", "label", "seconds", "labeling", "annotator", "image", "is_first"];
const SENT_OF_PAGE = SENT.filter((key) => !["item", "image", "is_first", "label"].includes(key)); // one label for many images

export class Outbox extends EventTarget {
  constructor(tabs) {
    super();
    this.tabs = tabs;
    this.labeling = this.annotator = null;
    this.waiting = []; // of this labeling and this annotator, the oldest first
    this.held = new Set(); // answers that the server has refused as not its own
    this.failures = 0;
    this.sending = null;
    this.isVolatile = false; // whether the browser keeps nothing: storage is full, or forbidden
    addEventListener("online", () => this.#send());
    addEventListener("storage", (event) => this.#onStorage(event));
  }

  /** Whether answers have not arrived for a while. */
  get isStuck() {
    return this.failures > 0 && this.count > 0;
  }

  /** How many labels wait. */
  get count() {
    return this.waiting.filter((answer) => !answer.taken_back).reduce((sum, answer) => sum + imagesOf(answer).length, 0);
  }

  /** The unsent answers of other labelings and other annotators, by both. */
  elsewhere() {
    const groups = new Map();
    for (const answer of kept()) {
      const { title, labeling, annotator, client_id: id } = answer;
      if (!this.#isOurs(answer)) {
        const key = JSON.stringify([labeling, annotator]);
        const group = groups.get(key) ?? { title, annotator, isHere: labeling === this.labeling, ids: [], count: 0 };
        group.ids.push(id);
        group.count += imagesOf(answer).length;
        groups.set(key, group);
      }
    }
    return [...groups.values()];
  }

  /** Send the answers of a labeling and an annotator from now on, beginning with those of earlier pages. */
  open(labeling, annotator) {
    const isNew = this.labeling !== labeling || this.annotator !== annotator;
    if (isNew) {
      [this.labeling, this.annotator] = [labeling, annotator];
      this.held.clear();
      this.waiting = [];
    }
    return isNew;
  }

  /** Adopt the answers of closed windows, and send them. */
  async adopt() {
    const found = kept().filter((answer) => this.#isOurs(answer) && !this.#has(answer.client_id));
    if (found.length > 0) {
      const ids = await this.tabs.ask();
      // Once more: another call may have taken them over meanwhile
      const orphans = found.filter((answer) => !ids.has(answer.tab) && !this.#has(answer.client_id) && storage.getItem(PREFIX + answer.client_id));
      this.waiting = [...this.waiting, ...orphans].sort((one, other) => one.order - other.order);
    }
    this.#send();
    return this.waiting;
  }

  /** Add an answer; it is stored in the browser when this returns. */
  add(answer) {
    const order = Math.max(0, ...kept().map((other) => other.order)) + 1;
    const own = { ...answer, labeling: this.labeling, annotator: this.annotator, tab: this.tabs.id, order };
    this.waiting.push(own);
    this.#keep(own);
    this.#tell("change");
    this.#send();
    return own;
  }

  /** Remove an unsent answer; return whether that succeeded. */
  async remove(clientId) {
    while (this.sending === clientId) await this.#changed();
    const answer = this.waiting.find((one) => one.client_id === clientId);
    if (!answer) return false;
    if (answer.was_tried) { // the server may have it, though its acknowledgment was lost
      answer.taken_back = true;
      this.#keep(answer);
      this.#tell("change");
    } else {
      this.#drop(answer);
    }
    return true;
  }

  /** Return when no answer is being sent, or after a time limit. */
  async flushed() {
    const end = performance.now() + FLUSH_MS;
    while (this.sending && performance.now() < end) {
      await Promise.race([this.#changed(), new Promise((resolve) => { setTimeout(resolve, FLUSH_MS); })]);
    }
  }

  /** Delete answers that cannot be sent, at the annotator's request. */
  forget(ids) {
    for (const id of ids) storage?.removeItem(PREFIX + id);
    this.#tell("change");
  }

  /** Send an answer and return the response; a repeated answer is stored once. */
  static post(answer) {
    const [path, keys] = answer.items ? ["bulk/answers", SENT_OF_PAGE] : ["answers", SENT];
    return post(path, Object.fromEntries(keys.filter((key) => answer[key] !== undefined).map((key) => [key, answer[key]])));
  }

  async #send() {
    if (this.sending) return;
    for (;;) {
      const answer = this.waiting[0];
      if (!answer) return;
      this.sending = answer.client_id;
      try {
        const stored = await this.#sendOne(answer);
        this.failures = 0;
        this.sending = null;
        this.#drop(answer, "stored", { clientId: answer.client_id, ...stored });
      } catch (error) {
        this.sending = null;
        if (error.isTemporary) {
          this.#retry(answer);
          return;
        }
        this.failures = 0;
        if (ELSEWHERE.includes(error.code)) this.#hold(answer, error);
        else this.#drop(answer, "refused", { answer, message: error.message });
      }
    }
  }

  async #sendOne(answer) {
    const stored = await Outbox.post(answer);
    if (!answer.taken_back) return stored;
    try {
      const { progress } = answer.items
        ? await post("bulk/undo", { client_id: answer.client_id })
        : await post("undo", { event_id: stored.answer.event_id });
      return { ...stored, progress };
    } catch (error) {
      if (error.status !== 409) throw error;
      return stored; // it is not in force any more
    }
  }

  #retry(answer) {
    this.failures += 1;
    answer.was_tried = true;
    this.#keep(answer);
    this.#tell("change");
    setTimeout(() => this.#send(), RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1]);
  }

  /** Keep an answer in the browser whose labeling, annotator or image is not served here. */
  #hold(answer, error) {
    this.held.add(answer.client_id);
    this.waiting = this.waiting.filter((other) => other !== answer);
    this.#tell("held", { answer, message: error.message });
    this.#tell("change");
  }

  /** Delete an answer; dispatch the reason before the change of the count. */
  #drop(answer, why = null, detail = null) {
    this.waiting = this.waiting.filter((other) => other.client_id !== answer.client_id);
    if (why) this.#tell(why, detail);
    storage?.removeItem(PREFIX + answer.client_id);
    this.#tell("change");
  }

  #isOurs(answer) {
    return answer.labeling === this.labeling && answer.annotator === this.annotator && !this.held.has(answer.client_id);
  }

  #has(clientId) {
    return this.waiting.some((answer) => answer.client_id === clientId);
  }

  #changed() {
    return new Promise((resolve) => { this.addEventListener("change", resolve, { once: true }); });
  }

  #onStorage({ key, newValue }) {
    if (!key?.startsWith(PREFIX)) return;
    if (newValue === null) { // another window has sent it, because it took this one for closed
      this.waiting = this.waiting.filter((answer) => PREFIX + answer.client_id !== key || this.sending === answer.client_id);
    } else {
      const answer = parsed(newValue);
      if (answer && this.#isOurs(answer)) for (const item of imagesOf(answer)) this.#tell("answered", item);
    }
    this.#tell("change");
  }

  #keep(answer) {
    try {
      storage.setItem(PREFIX + answer.client_id, JSON.stringify(answer));
    } catch {
      this.isVolatile = true;
    }
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Return the ids of the images that an answer is about. */
export function imagesOf(answer) {
  return answer.items ? answer.items.map((one) => one.item) : [answer.item];
}

/** Return all answers that this browser keeps, the oldest first. */
function kept() {
  const found = [];
  for (let place = 0; place < (storage?.length ?? 0); place += 1) {
    const key = storage.key(place);
    const answer = key.startsWith(PREFIX) ? parsed(storage.getItem(key)) : null;
    if (answer) found.push(answer);
  }
  return found.sort((one, other) => one.order - other.order);
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function available() {
  try {
    return localStorage;
  } catch {
    return null; // forbidden: answers are kept by this window only
  }
}
