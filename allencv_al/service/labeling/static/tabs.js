// Other windows of this browser on the same server: their images, and whether they are still open.

const CHANNEL = "allencv-al-labeling";
const ANSWER_MS = 150; // a window in the background answers messages at once, but timers late

export class Tabs extends EventTarget {
  constructor() {
    super();
    this.id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.state = { owner: null, items: [] };
    this.others = new Map();
    this.channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(CHANNEL) : null;
    this.channel?.addEventListener("message", ({ data }) => this.#hear(data));
    addEventListener("pagehide", () => this.#say({ kind: "bye" }));
    addEventListener("pageshow", ({ persisted }) => { if (persisted) this.#say({ kind: "here", ...this.state }); });
  }

  /** Announce the annotator and the images of this window to other windows. */
  hold(owner, items) {
    const isSame = JSON.stringify(this.state) === JSON.stringify({ owner, items });
    this.state = { owner, items };
    if (!isSame) this.#say({ kind: "here", ...this.state });
  }

  /** Return the images that other windows hold for the same owner. */
  held() {
    return [...this.others.values()].filter((state) => state.owner === this.state.owner).flatMap((state) => state.items);
  }

  /** Return the ids of the open windows: a window may close without a message. */
  async ask() {
    this.replied = new Set();
    this.#say({ kind: "who" });
    if (this.channel) await new Promise((resolve) => { setTimeout(resolve, ANSWER_MS); });
    for (const id of [...this.others.keys()]) if (!this.replied.has(id)) this.others.delete(id);
    return new Set(this.others.keys());
  }

  /** Announce to other windows that an answer was undone here. */
  tellUndone(undone) {
    this.#say({ kind: "undone", owner: this.state.owner, ...undone });
  }

  #say(message) {
    this.channel?.postMessage({ ...message, from: this.id });
  }

  #hear(message) {
    if (message.kind === "who") this.#say({ kind: "here", ...this.state });
    else if (message.kind === "bye") this.others.delete(message.from);
    else if (message.kind === "here") {
      this.replied?.add(message.from);
      this.others.set(message.from, { owner: message.owner, items: message.items });
    }
    if (message.kind === "undone" && message.owner === this.state.owner) {
      this.dispatchEvent(new CustomEvent("undone", { detail: message }));
    }
  }
}
