// Answers on their way to the server. They are kept in this browser until the server has them, so
// that a lost connection, a reload or a restart of the server loses none.

import { post } from "./api.js";

const KEY = "allencv-al-outbox";
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

export class Outbox extends EventTarget {
  constructor() {
    super();
    this.waiting = this.#kept();
    this.failures = 0;
    this.sending = null;
    addEventListener("online", () => this.#send());
    addEventListener("storage", (event) => {
      if (event.key === KEY && !this.sending) this.waiting = this.#kept();
    });
  }

  /** Whether answers have not arrived for a while. */
  get isStuck() {
    return this.failures > 0 && this.waiting.length > 0;
  }

  /** Whether an image was answered, and the server does not know yet. */
  holds(item) {
    return this.waiting.some((answer) => answer.item === item);
  }

  /** Take an answer along; it is kept when this returns. */
  add(answer) {
    this.waiting.push(answer);
    this.#keep();
    this.#send();
  }

  /** Take an answer back that was not sent yet; return whether that was so. */
  remove(clientId) {
    const place = this.waiting.findIndex((answer) => answer.client_id === clientId);
    if (place < 0 || this.sending === clientId) return false;
    this.waiting.splice(place, 1);
    this.#keep();
    return true;
  }

  /** Send what a former page has left. */
  start() {
    this.#send();
  }

  /** Return when the answer with this id has been sent, or given up. */
  async settled(clientId) {
    while (this.waiting.some((answer) => answer.client_id === clientId)) {
      await new Promise((resolve) => this.addEventListener("change", resolve, { once: true }));
    }
  }

  async #send() {
    if (this.sending) return;
    while (this.waiting.length > 0) {
      const answer = this.waiting[0];
      this.sending = answer.client_id;
      const { file_name: fileName, ...body } = answer;
      try {
        const stored = await post("answers", body);
        this.failures = 0;
        this.#drop(answer, "stored", { clientId: answer.client_id, ...stored });
      } catch (error) {
        if (error.isTemporary) {
          this.failures += 1;
          this.#tell("change");
          this.sending = null;
          const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1];
          setTimeout(() => this.#send(), wait);
          return;
        }
        this.failures = 0;
        this.#drop(answer, "refused", { answer, fileName, message: error.message });
      }
    }
    this.sending = null;
  }

  /** Forget an answer, and say why before saying that fewer wait. */
  #drop(answer, why, detail) {
    this.waiting = this.waiting.filter((other) => other.client_id !== answer.client_id);
    this.sending = null;
    this.#tell(why, detail);
    this.#keep();
  }

  #kept() {
    try {
      return JSON.parse(localStorage.getItem(KEY) ?? "[]");
    } catch {
      return [];
    }
  }

  #keep() {
    localStorage.setItem(KEY, JSON.stringify(this.waiting));
    this.#tell("change");
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
