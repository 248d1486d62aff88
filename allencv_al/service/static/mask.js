// A class for each pixel, drawn over an image.

const VOID = 255;

/**
 * Draw a mask in its colors, but for background and void, where the image is to be seen.
 *
 * Returns the number of pixels of each class index that the mask has.
 */
export async function paint(canvas, png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const stored = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  canvas.width = stored.width;
  canvas.height = stored.height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(stored, 0, 0);
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  const indices = new Map(Array.from({ length: VOID + 1 }, (_, index) => [key(...color(index)), index]));
  const counts = new Map();
  for (let at = 0; at < data.length; at += 4) {
    const index = indices.get(key(data[at], data[at + 1], data[at + 2]));
    counts.set(index, (counts.get(index) ?? 0) + 1);
    if (index === 0 || index === VOID) data[at + 3] = 0;
  }
  pen.putImageData(pixels, 0, 0);
  return counts;
}

/** Return Pascal VOC's color of a class, as the server's palette has it. */
export function color(index) {
  return [0, 1, 2].map((channel) => {
    let value = 0;
    for (let level = 0; level < 8; level += 1) value |= ((index >> (3 * level + channel)) & 1) << (7 - level);
    return value;
  });
}

/** Return a color as CSS writes it. */
export function css([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

function key(red, green, blue) {
  return (red << 16) | (green << 8) | blue;
}
