// The screen when no image is left to label: next steps, and the accuracy so far.

import { ApiError, post } from "./api.js";
import { byId, button, count, element, showNotice } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

/** Show the next steps. `acts` has lookAtSkipped, review and refresh. */
export function showEnd(session, outbox, isGone, acts) {
  const { title, text, buttons } = content(session, outbox, isGone, acts);
  const key = JSON.stringify([title, text, session.loop]);
  if (byId("view-end").dataset.key === key) return; // nothing new: keep the focus where it is
  byId("view-end").dataset.key = key;
  byId("end-title").textContent = title;
  byId("end-text").textContent = text;
  byId("end-buttons").replaceChildren(...buttons);
  byId("end-curve").replaceChildren(...curve(session.loop?.rounds ?? []));
}

/** Return a sentence with the place of the labels, for when the server cannot be reached. */
export function whereLabelsAre(session) {
  if (session.loop) return `The labels that were sent are in the run directory ${session.folder}; the loop uses them when it is resumed.`;
  return `The labels that were sent are in ${session.folder}/labels.csv; the same command resumes the labeling.`;
}

function content(session, outbox, isGone, acts) {
  const { batch, loop, progress } = session;
  const finish = button("Finish this round", () => finishBatch(acts), progress.skipped > 0 ? "" : "primary");
  const review = button("Review the labels", acts.review);
  const undo = button("Undo the last answer", acts.undo);
  if (outbox.count > 0) {
    const waiting = count(outbox.count, "label");
    if (outbox.isStuck) {
      return { title: "The server cannot be reached", text: `${waiting} of yours ${outbox.count === 1 ? "is" : "are"} kept in this browser, and sent when the server is back. Leave this page open, or open it again then.`, buttons: [undo] };
    }
    return { title: "Sending", text: `${waiting} of yours are on their way.`, buttons: [] };
  }
  if (isGone) {
    return { title: "The server does not answer", text: `It was stopped, or the connection is lost. ${whereLabelsAre(session)}`, buttons: [button("Try again", acts.refresh, "primary")] };
  }
  if (batch.state === "none") {
    return { title: "Nothing to label yet", text: "The first images come when the loop asks for them.", buttons: [] };
  }
  if (loop?.state === "finished") return ofLoop(loop, batch, session.folder);
  if (batch.state === "done") return loop ? ofLoop(loop, batch, session.folder) : ofFolder(session, [review]);
  const left = progress.total - progress.done - progress.skipped - progress.conflicts - progress.handed_over;
  if (left > 0) {
    return { title: "Others have the rest", text: `${count(left, "image")} ${left === 1 ? "is" : "are"} with others now, or in another window of yours. This page continues by itself if one comes back.`, buttons: [review] };
  }
  if (progress.conflicts > 0) {
    return { title: "Conflicts are left", text: `${count(progress.conflicts, "image")} ${progress.conflicts === 1 ? "has" : "have"} different answers. A review decides.`, buttons: [button("Review the conflicts", acts.conflicts, "primary")] };
  }
  if (progress.skipped > 0) {
    const again = button("Look at them again", acts.lookAtSkipped, "primary");
    if (!loop) {
      return { title: "All but the skipped ones", text: `${count(progress.skipped, "image")} ${progress.skipped === 1 ? "was" : "were"} skipped and ${progress.skipped === 1 ? "has" : "have"} no label yet. The other labels are stored; you may stop here.`, buttons: [again, undo, review] };
    }
    return { title: "All but the skipped ones", text: `${count(progress.skipped, "image")} ${progress.skipped === 1 ? "was" : "were"} skipped. Look again, or finish this round without them; it cannot be opened again.`, buttons: [again, finish, undo, review] };
  }
  if (progress.handed_over > 0) {
    const number = `${count(progress.handed_over, "image")} ${progress.handed_over === 1 ? "is" : "are"} handed over.`;
    const ways = `allencv-al export-labels ${session.folder} --handed-over writes them for the other program; import-labels brings its labels here.`;
    return { title: "All but those handed over", text: `${number} ${ways}`, buttons: [...(loop ? [finish] : []), undo, review] };
  }
  if (loop) return { title: `Round ${batch.round} is labeled`, text: `${progress.unsure + progress.unreadable > 0 ? `${labeledText(progress)} ` : ""}The loop continues in a moment. Until then you can undo the last answer (z). ${resultOf(loop)}`, buttons: [finish, undo, review] };
  return ofFolder(session, [review, undo]);
}

function ofFolder({ progress, folder }, buttons) {
  const title = progress.unsure + progress.unreadable > 0 ? "No image is left" : `All ${count(progress.total, "image")} are labeled`;
  return { title, text: `${labeledText(progress)} The labels are in ${folder}/labels.csv, to train on. You can close this page, or review them.`, buttons };
}

/** Return a sentence with the number of images with and without a label. */
function labeledText(progress) {
  const labeled = progress.done - progress.unsure - progress.unreadable;
  const parts = [`${labeled} of ${count(progress.total, "image")} ${labeled === 1 ? "has" : "have"} a label`];
  if (progress.unsure) parts.push(`${progress.unsure} ${progress.unsure === 1 ? "is" : "are"} marked not sure`);
  if (progress.unreadable) parts.push(`${progress.unreadable} ${progress.unreadable === 1 ? "is" : "are"} unreadable`);
  return `${parts.join("; ")}.`;
}

/** Return sentences with the accuracy of the last model, and the labels that the target needs. */
export function standingOf(loop) {
  const last = loop?.rounds.filter((one) => one.accuracy !== null).at(-1);
  if (!last) return "";
  const accuracy = last.audited ?? last.tested ?? percent(last.accuracy);
  return `Accuracy: ${accuracy}. ${loop.forecast}`.trim().replaceAll(" %", "\u00a0%");
}

/** Return sentences with the accuracy, its gain since the first round, and the forecast. */
function resultOf(loop) {
  const measured = loop.rounds.filter((one) => one.accuracy !== null);
  const gained = measured.length > 1 ? measured.at(-1).accuracy - measured[0].accuracy : null;
  if (measured.length === 0) return "";
  const last = measured.at(-1);
  // Without test images the accuracy is that of the audit, which is said once
  const isOfAudit = !last.tested && last.audited?.startsWith(percent(last.accuracy));
  const accuracy = isOfAudit ? last.audited : last.tested ?? percent(last.accuracy);
  const since = gained === null ? "" : `, ${gained >= 0 ? "+" : "−"}${(100 * Math.abs(gained)).toFixed(1)} points since the first round`;
  const audited = last.audited && !isOfAudit ? ` In the audit: ${last.audited}.` : "";
  return `Accuracy is ${accuracy} with ${last.labels} labels${since}.${audited} ${loop.forecast}`.trim();
}

function ofLoop(loop, batch, folder) {
  const result = resultOf(loop);
  if (loop.state === "finished") return { title: "The loop is done", text: `${result} ${filesOf(loop, folder)} Thank you; you can close this page.`, buttons: [] };
  if (loop.state === "absent") return { title: `Round ${batch.round} is labeled`, text: `The loop is not running; it uses these labels when it is resumed. ${result}`, buttons: [] };
  return { title: `Round ${batch.round} is labeled`, text: `The model is being trained; the next images appear by themselves. ${result}`, buttons: [] };
}

/** Return a sentence with the files of the results. */
function filesOf(loop, folder) {
  const names = { "labels.csv": "the labels are in", "model.tar.gz": "the model is in", "report.html": "the accuracy of each round is in" };
  const parts = loop.files.filter((name) => name in names).map((name) => `${names[name]} ${folder}/${name}`);
  if (parts.length === 0) return `Labels and accuracy are in the run directory ${folder}.`;
  const text = parts.join(", ");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

async function finishBatch(acts) {
  try {
    await post("finish", {});
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showNotice(error.message);
  }
  acts.refresh();
}

/** Return a chart of accuracy over labels, and the same as a table for screen readers. */
function curve(rounds) {
  const points = rounds.filter((one) => one.accuracy !== null);
  if (points.length < 2) return [];
  const [width, height, pad] = [520, 220, 52]; // "100 %" fits at the left
  const labels = points.map((one) => one.labels);
  const accuracies = points.map((one) => one.accuracy);
  const low = Math.max(0, Math.floor(10 * Math.min(...accuracies)) / 10);
  const high = Math.min(1, Math.ceil(10 * Math.max(...accuracies) + 0.001) / 10);
  const x = (value) => pad + ((width - 1.5 * pad) * (value - labels[0])) / (labels.at(-1) - labels[0] || 1);
  const y = (value) => height - pad - ((height - 1.6 * pad) * (value - low)) / (high - low || 1);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": "Accuracy after each round" });
  for (const value of [low, (low + high) / 2, high]) {
    drawing.append(svg("line", { x1: pad, x2: width - pad / 2, y1: y(value), y2: y(value), class: "curve-grid" }));
    drawing.append(svg("text", { x: pad - 8, y: y(value) + 4, class: "curve-text", "text-anchor": "end" }, percent(value, 0)));
  }
  drawing.append(svg("polyline", { points: points.map((one) => `${x(one.labels)},${y(one.accuracy)}`).join(" "), class: "curve-line" }));
  const step = Math.ceil(points.length / 8);
  points.forEach((one, place) => {
    drawing.append(svg("circle", { cx: x(one.labels), cy: y(one.accuracy), r: 4, class: "curve-point" }));
    const isShown = place === points.length - 1 || (place % step === 0 && points.length - 1 - place >= step);
    if (isShown) drawing.append(svg("text", { x: x(one.labels), y: height - pad / 2, class: "curve-text", "text-anchor": "middle" }, String(one.labels)));
  });
  drawing.append(svg("text", { x: width / 2, y: height - 4, class: "curve-text", "text-anchor": "middle" }, "labels"));
  const rows = points.map((one) => element("tr", "", [element("td", "", String(one.labels)), element("td", "", percent(one.accuracy))]));
  const head = element("tr", "", [element("th", "", "Labels"), element("th", "", "Accuracy")]);
  return [drawing, element("table", "visually-hidden", [head, ...rows])];
}

function svg(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)} %`;
}
