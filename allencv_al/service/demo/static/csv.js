// The results as a table for spreadsheets.

const FORMULA = /^[=+\-@\t\r]/;

/** Return the lines of a CSV file (RFC 4180) with one row per image. */
export function csvOf(items, classes) {
  const head = ["file", "class", "probability", "margin", "entropy", "milliseconds", "error"];
  const rows = [[...head, ...classes.map((name) => `probability of ${name}`)]];
  for (const { name, result, error } of items) {
    const probs = result?.probs ?? [];
    rows.push([
      name,
      result?.name ?? "",
      result?.probability ?? "",
      result?.margin ?? "",
      result?.entropy ?? "",
      result ? Math.round(result.milliseconds) : "",
      error?.message ?? "",
      ...classes.map((_, place) => probs[place] ?? ""),
    ]);
  }
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value) {
  if (typeof value === "number") return String(value);
  // A name such as =HYPERLINK(...) would be run by a spreadsheet: the quote makes it text.
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Let the browser save a text as a file. */
export function save(text, fileName) {
  const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
