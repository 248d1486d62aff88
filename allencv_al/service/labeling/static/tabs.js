// Other windows of this browser on the same server: what they show, and whether they are still there.

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
  }

  /** Let other windows know, when they ask, whose labels are given here and which images are held. */
  hold(owner, items) {
    this.state = { owner, items };
  }

  /** Ask who is there; return their ids, and the images that windows of the same owner hold. */
  async ask() {
    this.others.clear();
    this.#say({ kind: "who" });
    if (this.channel) await new Promise((resolve) => { setTimeout(resolve, ANSWER_MS); });
    const same = [...this.others.values()].filter((state) => state.owner === this.state.owner);
    return { ids: new Set(this.others.keys()), items: new Set(same.flatMap((state) => state.items)) };
  }

  /** Tell the other windows that an answer was taken back here. */
  tellUndone(eventId, item) {
    this.#say({ kind: "undone", owner: this.state.owner, eventId, item });
  }

  #say(message) {
    this.channel?.postMessage({ ...message, from: this.id });
  }

  #hear(message) {
    if (message.kind === "who") this.#say({ kind: "here", ...this.state });
    else if (message.kind === "here") this.others.set(message.from, { owner: message.owner, items: message.items });
    else if (message.kind === "undone" && message.owner === this.state.owner) {
      this.dispatchEvent(new CustomEvent("undone", { detail: message }));
    }
  }
}
