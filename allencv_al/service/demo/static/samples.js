// The sample images that came with the model.

import { element } from "./dom.js";

/** Show a button for each sample; `take` gets its bytes as a file. */
export function showSamples(section, list, count, take, complain) {
  section.hidden = count === 0;
  for (let number = 0; number < count; number += 1) {
    const url = `api/samples/${number}`;
    const name = `sample ${number + 1}`;
    const image = element("img", "", [], { src: url, alt: `Classify ${name}`, loading: "lazy" });
    const button = element("button", "sample", image, { type: "button" });
    button.addEventListener("click", async () => {
      try {
        const response = await fetch(url);
        if (!response.ok) throw new Error(String(response.status));
        const blob = await response.blob();
        take([new File([blob], name, { type: blob.type })]);
      } catch {
        complain("The sample image cannot be loaded.");
      }
    });
    list.append(element("li", "", button));
  }
}
