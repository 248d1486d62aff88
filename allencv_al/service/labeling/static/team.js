// Classes, which can be renamed, and annotators with their agreement.

import { get, patch, post, remove } from "./api.js";
import { announce, byId, button, count, element, showNotice } from "./dom.js";

export class Team {
  constructor(onChange) {
    this.onChange = onChange;
    byId("class-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
  }

  /** Load and show everything. */
  async load(session) {
    this.session = session;
    byId("class-form").hidden = !session.may_edit_classes;
    byId("class-list").replaceChildren(...session.classes.map((one) => this.#row(one)));
    try {
      const [agreement, history] = await Promise.all([get("agreement"), get("classes/history")]);
      showAgreement(agreement);
      byId("class-changes").replaceChildren(...history.changes.map(changeRow));
    } catch (error) {
      showNotice(error.message);
    }
  }

  #row(one) {
    const parts = [element("span", "class-name", one.name), element("span", "soft", count(one.count, "image"))];
    if (this.session.may_edit_classes) {
      parts.push(button("Rename", (event) => this.#edit(event.target.closest("li"), one), "quiet", { "aria-label": `Rename ${one.name}` }));
    }
    if (this.session.may_edit_classes && one.count === 0) {
      parts.push(button("Remove", () => this.#change(() => remove(`classes/${one.id}`), `Removed ${one.name}`), "quiet", { "aria-label": `Remove ${one.name}` }));
    }
    return element("li", "", parts);
  }

  #edit(row, one) {
    const input = element("input", "", [], { type: "text", maxlength: "100", "aria-label": `New name of ${one.name}` });
    input.value = one.name;
    const form = element("form", "class-form", [input, element("button", "primary", "Save", { type: "submit" }), button("Cancel", () => this.load(this.session))]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#change(() => patch(`classes/${one.id}`, { name: input.value }), `${one.name} is now ${input.value}`);
    });
    row.replaceChildren(form);
    input.select();
  }

  #add() {
    const name = byId("class-name").value;
    const add = async () => {
      await post("classes", { name });
      byId("class-name").value = "";
    };
    this.#change(add, `Added ${name}`);
  }

  async #change(act, said) {
    if (this.isChanging) return; // the second half of a double click
    this.isChanging = true;
    try {
      await act();
      this.isChanging = false; // before the list is loaded, so that the next input counts
      announce(said);
      await this.load(await this.onChange());
    } catch (error) {
      showNotice(error.message);
    } finally {
      this.isChanging = false;
    }
  }
}

function showAgreement(agreement) {
  byId("people").tBodies[0].replaceChildren(
    ...agreement.annotators.map(({ name, answers }) => row([name, String(answers)])),
  );
  byId("agreement").hidden = agreement.pairs.length === 0;
  byId("agreement-none").hidden = agreement.pairs.length > 0;
  byId("agreement").tBodies[0].replaceChildren(
    ...agreement.pairs.map((pair) => {
      const kappa = pair.kappa === null ? "–" : pair.kappa.toFixed(2);
      return row([`${pair.first} and ${pair.second}`, String(pair.both), String(pair.agreed), kappa]);
    }),
  );
  byId("conflicts").textContent = agreement.conflicts ? `${count(agreement.conflicts, "image")} in conflict; decide them in the review.` : "";
}

function row(cells) {
  return element("tr", "", cells.map((text) => element("td", "", text)));
}

function changeRow(change) {
  const when = new Date(change.time * 1000).toLocaleString();
  const what = change.new === "" ? `removed ${change.old}` : change.old === null ? `added ${change.new}` : `renamed ${change.old} to ${change.new}`;
  return element("li", "", `${when}: ${change.annotator} ${what}`);
}
