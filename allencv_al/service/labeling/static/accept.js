// Predictions that are accepted unseen, after a random sample of them was labeled.

import { get, post } from "./api.js";
import { announce, byId, count, showNotice } from "./dom.js";

const WAIT_MS = 300; // after the last change of the threshold

export class Accept {
  /** `labelSample` opens the view of one image if the sample is leased, `held` are the images of this window; `onChange` is told of progress, and whether other images wait. */
  constructor(outbox, held, labelSample, onChange) {
    Object.assign(this, { labelSample, onChange });
    this.current = null;
    byId("accept").addEventListener("toggle", () => { if (byId("accept").open) this.load(); });
    byId("accept-threshold").addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.load(), WAIT_MS);
    });
    byId("accept-begin").addEventListener("click", () => this.#do("accept", {
      threshold: this.threshold, sample: Number(byId("accept-sample").value),
    }));
    byId("accept-check").addEventListener("click", async () => {
      this.isChecking = Boolean(await this.#do("accept/check", { id: this.current.id, give_back: await held() }));
      this.labelSample(this.isChecking);
    });
    outbox.addEventListener("stored", () => { if (this.isChecking) this.#onLabel(); });
    byId("accept-store").addEventListener("click", () => this.#store());
    byId("accept-drop").addEventListener("click", () => this.#do("accept/drop", { id: this.current.id }));
    byId("accept-undo").addEventListener("click", () => this.#do("accept/undo", { id: this.current.id }));
  }

  /** The chosen probability; null while the text is none. */
  get threshold() {
    const value = byId("accept-threshold").valueAsNumber;
    return value > 0 && value <= 1 ? value : null;
  }

  /** Load the counts, if they are shown. */
  async load() {
    if (!byId("accept").open) return;
    try {
      const { above, current } = await get("accept", { threshold: this.threshold });
      this.#show(current, above);
    } catch (error) {
      if (!error.isTemporary) showNotice(error.message);
    }
  }

  /** Tell when the last image of the sample is labeled. */
  async #onLabel() {
    try {
      const { current } = await get("accept");
      if (!this.isChecking || current?.checked !== current?.sample) return;
      this.isChecking = false;
      showNotice(`The random sample is labeled: ${current.wrong} of ${current.sample} predictions ${current.wrong === 1 ? "is" : "are"} wrong. Press b to decide about the other ${current.left}.`);
    } catch (error) {
      if (!error.isTemporary) showNotice(error.message);
    }
  }

  async #do(path, body) {
    try {
      const { current, changed, progress } = await post(path, body);
      this.#show(current, null);
      this.onChange(progress, path !== "accept/check");
      if (current === null) await this.load();
      return { current, changed };
    } catch (error) {
      showNotice(error.message);
      return null;
    }
  }

  async #store() {
    if (this.isStoring) return;
    this.isStoring = true;
    const { id } = this.current;
    let stored = 0;
    try {
      for (;;) { // a thousand a request, so that others can label meanwhile
        const found = await this.#do("accept/store", { id });
        stored += found?.changed ?? 0;
        if (!found || found.current?.state !== "open") break;
      }
    } finally {
      this.isStoring = false;
    }
    announce(`${count(stored, "label")} stored`);
  }

  #show(current, above) {
    this.current = current;
    const isOpen = current?.state === "open";
    const isChecked = isOpen && current.checked === current.sample;
    byId("accept-start").hidden = isOpen;
    byId("accept-begin").disabled = !above;
    byId("accept-check").hidden = !isOpen || isChecked;
    byId("accept-store").hidden = !isChecked;
    byId("accept-store").textContent = isChecked ? `Store ${count(current.left, "label")}` : "";
    byId("accept-drop").hidden = !isOpen;
    byId("accept-undo").hidden = current?.state !== "stored";
    byId("accept-text").textContent = textOf(current, above);
  }
}

function textOf(current, above) {
  if (current?.state === "open") {
    const left = current.sample - current.checked;
    const of = `${count(current.total, "prediction")} from ${percent(current.threshold)}: ${current.wrong} of ${current.checked} checked ${current.wrong === 1 ? "is" : "are"} wrong${rateOf(current)}.`;
    return left > 0 ? `${of} ${count(left, "image")} of the random sample ${left === 1 ? "is" : "are"} left to label; nothing is stored before.` : of;
  }
  const stored = current?.state === "stored" ? `Stored: the predictions from ${percent(current.threshold)} on; ${current.wrong} of ${current.sample} checked were wrong${rateOf(current)}. ` : "";
  if (above === null) return stored.trim();
  return `${stored}${above === 0 ? "No image has such a prediction." : `${count(above, "image")} ${above === 1 ? "has" : "have"} such a prediction.`}`;
}

function rateOf({ error_low: low, error_high: high }) {
  return low === null ? "" : `: an error rate of ${percent(low)} to ${percent(high)} (95 % interval)`;
}

function percent(share) {
  return `${(100 * share).toFixed(1).replace(/\.0$/, "")}\u00a0%`;
}
