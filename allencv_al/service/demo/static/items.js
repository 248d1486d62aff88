// The images on the page, and the few that are being sent to the server.

import { PredictionError, predict, saliency } from "./client.js";
import { entropy, margin, top } from "./uncertainty.js";

const AT_ONCE = 4;

/** A list of images that dispatches an event when one of them changes. */
export class Items extends EventTarget {
  #items = [];
  #waiting = [];
  #underWay = 0;
  #added = 0;

  constructor(maxBytes) {
    super();
    this.maxBytes = maxBytes;
  }

  get all() {
    return [...this.#items];
  }

  /** Add files and send them, in order. */
  add(files) {
    const items = files.map((file) => this.#item(file));
    this.#items.push(...items);
    this.#tell("added", items);
    for (const item of items) this.#send(item);
    return items;
  }

  /** Send an image again whose prediction failed. */
  retry(item) {
    item.error = null;
    this.#tell("changed", item);
    this.#send(item);
  }

  /** Show the places that speak for the predicted class, or hide them. */
  async explain(item) {
    const { url, isShown } = item.saliency ?? {};
    item.saliency = url ? { url, isShown: !isShown } : { isLoading: true };
    this.#tell("explained", item);
    if (url) return;
    try {
      item.saliency = { url: URL.createObjectURL(await saliency(item.file, item.result.name)), isShown: true };
    } catch (error) {
      item.saliency = { error: error.message };
    }
    this.#tell("explained", item);
  }

  clear() {
    for (const item of this.#items) {
      URL.revokeObjectURL(item.url);
      if (item.saliency?.url) URL.revokeObjectURL(item.saliency.url);
    }
    this.#items = [];
    this.#waiting = [];
    this.#tell("cleared");
  }

  #item(file) {
    return {
      order: this.#added++,
      file,
      name: file.name || "pasted image",
      url: URL.createObjectURL(file),
      result: null,
      error: null,
    };
  }

  #send(item) {
    if (item.file.size > this.maxBytes) {
      const mib = (bytes) => (bytes / 2 ** 20).toFixed(1);
      item.error = new PredictionError(
        `The file has ${mib(item.file.size)} MiB, at most ${mib(this.maxBytes)} MiB may be sent.`,
        false,
      );
      this.#tell("changed", item);
      return;
    }
    this.#waiting.push(item);
    this.#next();
  }

  async #next() {
    if (this.#underWay === AT_ONCE || this.#waiting.length === 0) return;
    const item = this.#waiting.shift();
    this.#underWay += 1;
    try {
      item.result = described(await predict(item.file));
    } catch (error) {
      item.error = error instanceof PredictionError ? error : new PredictionError(String(error), true);
    }
    this.#underWay -= 1;
    if (this.#items.includes(item)) this.#tell("changed", item);
    this.#next();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Add the predicted class, its probability and the uncertainty to an answer. */
function described({ answer, ...times }) {
  const probs = Array.isArray(answer.probs) ? answer.probs : null;
  return {
    answer,
    ...times,
    probs,
    name: answer.class ?? null,
    probability: probs ? probs[top(probs)] : null,
    margin: probs ? margin(probs) : null,
    entropy: probs ? entropy(probs) : null,
  };
}
