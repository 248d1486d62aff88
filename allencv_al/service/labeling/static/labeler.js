// The image being labeled, the answers given, and undo.

import { annotatorName, get, newClientId, post } from "./api.js";
import { ClassPicker } from "./classes.js";
import { announce, byId, count, element, showHint, showNotice } from "./dom.js";
import { editorOf } from "./editors.js";
import { Outbox, imagesOf } from "./outbox.js";

const AHEAD = 6;
const GESTURE_MS = 250; // between the two clicks of a double click; labeling takes longer
const MOST_ELSEWHERE = 200; // images in other windows: as many as the server takes
const WORDS = { skip: "skipped", hand_over: "handed over", unsure: "not sure", unreadable: "unreadable" };

export class Labeler extends EventTarget {
  constructor(stage, outbox, tabs) {
    super();
    this.stage = stage;
    this.outbox = outbox;
    this.tabs = tabs;
    this.picker = new ClassPicker();
    this.editor = null; // of labels that are more than one class
    this.queue = []; // images leased to this window; the first one is shown
    this.given = []; // answers that can be undone, the newest last
    this.clickedAt = -GESTURE_MS;
    this.paged = []; // images that the page of many images shows
    this.answered = new Set(); // images that the server may still offer, from an earlier request
    this.skippedAgain = false;
    this.shown = null;
    this.filling = null;
    this.#listen();
  }

  /** The image that is shown, or null. */
  get current() {
    return this.queue[0] ?? null;
  }

  /** Leave images to the page of many images, or none. */
  leaveToPage(items) {
    this.paged = items;
    this.queue = this.queue.filter((item) => !items.includes(item.id));
    this.#hold();
  }

  /** Load earlier answers for undo, then the first image. */
  async start() {
    const { answers } = await get("history", { limit: 200 });
    this.given = givenOf(answers.reverse());
    for (const answer of await this.outbox.adopt()) {
      if (answer.taken_back) continue;
      for (const item of imagesOf(answer)) this.answered.add(item);
      // Stored, and the page was closed before it heard so: the history has it already
      if (this.given.some((one) => isOf(one, answer))) continue;
      this.given.push({
        item: itemOf({ ...answer, file_name: answer.image }),
        answer,
        ...(answer.items ? { group: answer.client_id, items: imagesOf(answer) } : {}),
        kind: answer.kind,
        text: answer.label,
        className: answer.said ?? this.picker.classes.find((one) => one.id === answer.class_id)?.name,
      });
    }
    await this.fill();
  }

  /** Use the classes and the annotator of a session. */
  setSession(session) {
    this.session = session;
    if (!this.editor) this.#openEditor(editorOf(session.widget, this.stage));
    this.picker.set(session.classes);
    this.editor?.setClasses(session.classes);
    this.#hold();
  }

  /** Fill the queue of images that are loaded ahead; show the first one. */
  async fill() {
    this.filling ??= this.#fill().finally(() => { this.filling = null; });
    await this.filling;
  }

  /** Show the skipped images again. */
  async lookAtSkipped() {
    this.skippedAgain = true;
    this.answered.clear();
    await this.filling;
    await this.fill();
  }

  /** Load the images anew: those that this annotator holds come first. */
  async restartQueue() {
    this.queue = [];
    byId("view-label").setAttribute("aria-busy", "true"); // the image of before is still seen
    await this.filling;
    await this.fill();
    byId("view-label").setAttribute("aria-busy", "false");
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

  /** Answer for the current image and show the next one. */
  answer(kind, one = null, text = undefined) {
    const item = this.current;
    if (!item) return;
    if (kind === "label" && this.stage.problem) {
      showHint("This image is not shown, so it gets no class.");
      return;
    }
    const seconds = Math.min(86400, (performance.now() - this.shownAt) / 1000);
    this.queue.shift();
    this.answered.add(item.id);
    const answer = this.outbox.add({
      client_id: newClientId(),
      item: item.id,
      kind,
      seconds,
      ...(one?.id ? { class_id: one.id } : {}),
      ...(text === undefined ? {} : { label: text, said: one.name }),
      image: item.file_name,
      is_first: true,
      image_url: item.image_url,
      title: this.session.title,
    });
    this.given.push({ item, answer, kind, className: one?.name, text });
    announce(`${item.file_name}: ${one ? one.name : WORDS[kind]}`);
    this.#show();
    this.fill();
  }

  /** Give a page of images one answer. */
  answerPage(items, kind, one, seconds) {
    const answer = this.outbox.add({
      client_id: newClientId(),
      items: items.map((item) => ({ item: item.id, image: item.file_name })),
      kind,
      seconds: Math.min(86400, seconds),
      ...(one ? { class_id: one.id } : {}),
      image: count(items.length, "image"),
      title: this.session.title,
    });
    for (const item of items) this.answered.add(item.id);
    this.queue = this.queue.filter((item) => !this.answered.has(item.id));
    const group = { group: answer.client_id, items: imagesOf(answer), images: items, answer, kind, className: one?.name };
    this.given.push({ ...group, item: itemOf({ ...answer, file_name: answer.image }) });
    this.#show();
  }

  /** Undo the last page of images; return them, or null if there is none. */
  async undoPage() {
    const last = this.given.findLast((one) => one.group);
    if (!last) return null;
    this.undoing = (this.undoing ?? Promise.resolve()).then(() => this.#undoPage(last));
    return this.undoing;
  }

  async #undoPage(last) {
    try {
      const isUnsent = last.answer && await this.outbox.remove(last.group);
      if (!this.given.includes(last)) return null; // it was refused meanwhile
      if (!isUnsent) {
        const { items, progress } = await post("bulk/undo", { client_id: last.group });
        last.images = items;
        this.tabs.tellUndone({ group: last.group, items: last.items });
        this.#tell("progress", progress);
      }
      this.given = this.given.filter((other) => other !== last);
      for (const item of last.items) this.answered.delete(item);
      announce(`Undone: ${count(last.items.length, "image")}`);
      this.#show();
      return last;
    } catch (error) {
      showNotice(`Undo: ${error.message}`);
      if (error.status === 409) this.given = this.given.filter((other) => other !== last);
      return null;
    }
  }

  /** Undo the last answer and show its image again; repeated calls undo further answers. */
  undo() {
    this.undoing = (this.undoing ?? Promise.resolve()).then(() => this.#undo());
    return this.undoing;
  }

  async #undo() {
    const last = this.given.at(-1);
    if (last?.group) {
      if (await this.#undoPage(last)) await this.restartQueue();
      return;
    }
    if (!last) {
      showHint("You have no answer to undo.");
      return;
    }
    try {
      const isUnsent = !last.eventId && await this.outbox.remove(last.answer.client_id);
      if (!this.given.includes(last)) return; // it was refused meanwhile
      if (!isUnsent) {
        // Another window may have sent it: sent again, it is stored once, and has its number
        last.eventId ??= (await Outbox.post(last.answer)).answer.event_id;
        const undone = await post("undo", { event_id: last.eventId });
        this.tabs.tellUndone({ eventId: last.eventId, items: [last.item.id] });
        this.#tell("progress", undone.progress);
        last.item = { ...last.item, ...undone.item };
      }
      this.given = this.given.filter((other) => other !== last);
      this.answered.delete(last.item.id);
      this.queue = [last.item, ...this.queue.filter((item) => item.id !== last.item.id)];
      this.shown = null; // with the label that it had
      this.restored = last.text;
      announce(`Undone: ${last.item.file_name}`);
      this.#show();
    } catch (error) {
      showNotice(`Undo: ${error.message}`);
      if (error.status === 409) this.given = this.given.filter((other) => other !== last);
    }
  }

  /** Show the model's prediction for the image. */
  async guess() {
    const item = this.current;
    if (!item?.has_guess) return;
    try {
      const { probabilities, label } = await post("guess", { item: item.id });
      if (this.current !== item) return;
      if (label !== null) this.editor?.addDraft(label);
      const text = probabilities.map((one) => `${one.class_name} ${Math.round(100 * one.probability)} %`);
      byId("guess-text").textContent = `The model says: ${text.join(", ")}`;
      byId("guess-text").hidden = false;
    } catch (error) {
      showNotice(error.message);
    }
  }

  /** Execute the command of a key; return whether it has one. */
  key(key, event) {
    const one = this.picker.classes.find((candidate) => candidate.key === key);
    if (one && this.current) this.#choose(one);
    else if (this.current && this.editor?.key(key, event)) return true;
    else if (key === "z" || key === "Backspace") this.undo();
    else if (!this.current) return false;
    else if (key === "s") this.answer("skip");
    else if (key === "u") this.answer("unsure");
    else if (key === "x") this.answer("unreadable");
    else if (key === "g" && this.current.has_guess) this.guess();
    else if (key === "/" && this.picker.isSearched) this.picker.search();
    else return this.stage.key(key);
    return true;
  }

  /** Undo or redo a change of the label that is edited; return whether one is edited. */
  edit(isRedo) {
    if (!this.editor || !this.current) return false;
    if (isRedo) this.editor.redo();
    else if (!this.editor.undo()) this.undo();
    return true;
  }

  /** Return why a key has no effect here; empty if no effect is expected. */
  reason(key) {
    const { classes } = this.picker;
    if (!this.current) return "There is no image to label now.";
    if (key === "g") return "There is no prediction for this image.";
    if (key === "/") return "All classes are shown; there is nothing to search.";
    const ofEditor = this.editor?.reason(key);
    if (ofEditor) return ofEditor;
    if (!/^[1-9]$/.test(key)) return "";
    if (classes.length === 0) return "There are no classes yet. Press c to add one.";
    return `There is no class ${key}: the last key is ${Math.min(9, classes.length)}.`;
  }

  #choose(one) {
    if (this.editor) this.editor.choose(one);
    else this.answer("label", one);
  }

  #openEditor(editor) {
    if (!editor) return;
    this.editor = editor;
    this.picker.isMultiple = editor.isMultiple;
    editor.addEventListener("done", ({ detail }) => this.answer("label", { name: detail.said }, detail.text));
    editor.addEventListener("change", () => {
      this.picker.press(editor.pressed);
      this.#canUndo();
    });
    editor.addEventListener("hand-over", () => this.answer("hand_over"));
    this.picker.addEventListener("submit", () => editor.key("Enter"));
    const keys = editor.constructor.keys.flatMap(([key, text]) => [element("dt", "", element("kbd", "", key)), element("dd", "", text)]);
    byId("help-list").prepend(...keys);
  }

  #canUndo() {
    byId("undo").disabled = this.given.length === 0 && !this.editor?.canUndo;
  }

  /** Return whether a click is a gesture of its own, and not the second half of a double click. */
  #isGesture(event) {
    if (event.detail === 0) return true; // a key
    if (event.timeStamp - this.clickedAt < GESTURE_MS) return false;
    this.clickedAt = event.timeStamp;
    return true;
  }

  /** Announce the images of this window to other windows. */
  #hold() {
    const { labeling, annotator } = this.session;
    this.tabs.hold(`${labeling} ${annotator}`, [...this.queue.map((item) => item.id), ...this.paged]);
  }

  #listen() {
    for (const kind of ["skip", "unsure", "unreadable"]) {
      byId(kind).addEventListener("click", (event) => {
        if (event.detail > 0) event.currentTarget.blur(); // of a mouse: keys shall not press it again
        if (this.#isGesture(event)) this.answer(kind);
      });
    }
    byId("undo").addEventListener("click", (event) => {
      if (this.#isGesture(event) && !this.edit(false)) this.undo();
    });
    byId("guess").addEventListener("click", () => this.guess());
    this.picker.addEventListener("choose", ({ detail }) => {
      const isGesture = this.editor ? detail.event.detail < 2 || !this.editor.isMultiple : this.#isGesture(detail.event);
      if (isGesture) this.#choose(detail.one); // a double click would switch a class on and off
    });
    this.outbox.addEventListener("stored", ({ detail }) => {
      const of = this.given.find((one) => one.answer?.client_id === detail.clientId);
      if (of && detail.answer) of.eventId = detail.answer.event_id;
      if (detail.refused?.length) {
        const [{ file_name: name, reason }] = detail.refused;
        showNotice(`${count(detail.refused.length, "image")} of the page got no label (${name}: ${reason}).`);
      }
      this.#tell("progress", detail.progress);
    });
    this.outbox.addEventListener("refused", ({ detail }) => {
      this.#forget(detail.answer);
      showNotice(`${detail.answer.image}: your answer was not stored: ${detail.message}.`);
    });
    this.outbox.addEventListener("held", ({ detail }) => {
      this.#forget(detail.answer);
      this.#tell("stale");
    });
    this.outbox.addEventListener("answered", ({ detail: item }) => {
      this.answered.add(item); // in another window
      this.queue = this.queue.filter((other) => other.id !== item);
      this.#show();
      this.fill();
    });
    this.tabs.addEventListener("undone", ({ detail }) => {
      this.given = this.given.filter((one) => (detail.group ? one.group !== detail.group : one.eventId !== detail.eventId));
      for (const item of detail.items) this.answered.delete(item);
      this.#show();
    });
  }

  #forget(answer) {
    this.given = this.given.filter((one) => one.answer?.client_id !== answer.client_id);
    this.#show();
  }

  async #fill() {
    if (this.queue.length < AHEAD) {
      try {
        const but = [...this.paged, ...this.tabs.held()].slice(0, MOST_ELSEWHERE);
        const { items } = await post("next", { count: AHEAD, skipped: this.skippedAgain, but });
        const known = new Set(this.queue.map((item) => item.id));
        const fresh = items.filter((item) => !known.has(item.id) && !this.answered.has(item.id));
        this.queue.push(...fresh.slice(0, AHEAD - this.queue.length));
      } catch (error) {
        if (error.code === "other_labeling") this.#tell("stale");
        else if (!error.isTemporary) showNotice(error.message);
      }
    }
    for (const item of this.queue.slice(1)) new Image().src = item.image_url;
    this.#show();
  }

  #show() {
    const item = this.current;
    this.#hold();
    if (item !== this.shown) {
      this.shown = item;
      this.shownAt = performance.now();
      byId("guess-text").hidden = true;
      if (item) this.stage.show(item);
      this.editor?.open(item, this.restored);
      this.restored = null;
    }
    byId("file-name").textContent = item?.file_name ?? "";
    byId("reason").textContent = item?.reason ?? "";
    byId("guess").hidden = !item?.has_guess;
    this.#canUndo();
    const last = this.given.at(-1);
    byId("last").textContent = last ? `Last: ${last.item.file_name}: ${last.className ?? WORDS[last.kind]}` : "";
    this.#tell("shown");
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Return the name of the annotator, to be shown. */
export function whoLabels(session) {
  return annotatorName() ?? session.annotator;
}

/** Return the text of the pace: "12 per minute, about 3 minutes left". */
export function paceText(progress) {
  const parts = [];
  if (progress.labels_per_minute) parts.push(`${Math.round(progress.labels_per_minute)} per minute`);
  const left = progress.total - progress.done - progress.conflicts - progress.handed_over;
  if (progress.seconds_left !== null && left > 0) parts.push(`about ${duration(progress.seconds_left)} left`);
  if (progress.handed_over) parts.push(`${progress.handed_over} handed over`);
  if (progress.skipped) parts.push(`${progress.skipped} skipped`);
  if (progress.conflicts) parts.push(count(progress.conflicts, "conflict"));
  return parts.join(" · ");
}

function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds / 10)) * 10} seconds`;
  if (seconds < 5400) return count(Math.round(seconds / 60), "minute");
  return `${(seconds / 3600).toFixed(1)} hours`;
}

/** Return what can be undone, from stored answers: those of one page are one. */
function givenOf(answers) {
  const given = [];
  const pages = new Map();
  for (const answer of answers) {
    const kind = answer.source === "handed over" ? "hand_over" : answer.kind;
    const one = { item: itemOf(answer), eventId: answer.event_id, kind, className: answer.class_name, text: answer.label };
    const page = answer.group ? pages.get(answer.group) : null;
    if (page) {
      page.items.push(answer.item);
      page.item = { ...page.item, file_name: count(page.items.length, "image") };
    } else {
      if (answer.group) {
        Object.assign(one, { group: answer.group, items: [answer.item] });
        pages.set(answer.group, one);
      }
      given.push(one);
    }
  }
  return given;
}

/** Return whether a stored answer is that of the outbox. */
function isOf(given, answer) {
  return answer.items ? given.group === answer.client_id : given.item.id === answer.item;
}

function itemOf(answer) {
  const { item: id, file_name, image_url } = answer;
  return { id, file_name, image_url, reason: null, has_guess: false };
}
