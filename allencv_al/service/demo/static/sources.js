// The sources of images: file dialog, drop, paste.

/** Call `take` with the files of every choice, drop and paste on the page. */
export function listen({ choose, input, veil, take, complain }) {
  choose.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // the same file again is a change again
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length === 0) return;
    event.preventDefault();
    take(files);
  });
  listenToDrops(veil, take, complain);
}

function listenToDrops(veil, take, complain) {
  let depth = 0; // of dragenter events: each element below the pointer sends its own
  const show = (isShown) => {
    veil.hidden = !isShown;
    if (!isShown) depth = 0;
  };
  document.addEventListener("dragenter", (event) => {
    event.preventDefault();
    depth += 1;
    show(true);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) show(false);
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    show(false);
    const files = await filesOf(event.dataTransfer);
    if (files.length > 0) take(files);
    else complain("This was not a file. Save the image first, or copy and paste it.");
  });
}

async function filesOf(transfer) {
  // Entries have to be asked for before the first await: afterwards the list is empty.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  const found = [];
  for (const entry of entries) if (entry) await collect(entry, found);
  return found;
}

async function collect(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    if (file.type.startsWith("image/")) found.push(file); // folders also hold other files
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const inner of some) await collect(inner, found);
  }
}
