// Builds elements from untrusted text: it is set as text, never parsed as HTML.

/** Return an element with a class, a text or children, and attributes. */
export function element(tag, className, content = [], attributes = {}) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...(Array.isArray(content) ? content : [content]));
  return made;
}

/** Return the image of an item; where the browser cannot show the format, an icon. */
export function picture(item, className, alternative) {
  const image = element("img", className, [], { src: item.url, alt: alternative, decoding: "async" });
  image.addEventListener(
    "error",
    () => {
      image.src = "static/demo/picture.svg";
      image.classList.add("no-picture");
    },
    { once: true },
  );
  return image;
}

/** Return a share from 0 to 1 as a percentage that is never rounded to a certainty. */
export function percent(share) {
  if (share > 0.999 && share < 1) return "> 99.9 %";
  if (share < 0.001 && share > 0) return "< 0.1 %";
  return `${(share * 100).toFixed(1)} %`;
}
