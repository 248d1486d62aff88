// The meaning of a key on any keyboard layout, with Caps Lock and on the number pad.

const COMMANDS = "/?+=-"; // which layouts put beside Shift, or on a key of a digit

/** Return the possible meanings of a key, the most likely first: "1", "s", "/", "ArrowLeft" ... */
export function meanings(event) {
  const key = event.key.normalize("NFKC"); // digits and letters of full width
  const { code } = event;
  if (/^[0-9]$/.test(key)) return [key];
  if (/^[a-z]$/i.test(key)) return [key.toLowerCase()];
  const isNamed = key.length > 1 && !["Dead", "Process", "Unidentified"].includes(key);
  if (isNamed) return [key]; // an arrow, also that of a number pad
  const found = COMMANDS.includes(key) ? [key] : [];
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(code)?.[1];
  if (digit && !event.shiftKey) found.unshift(digit); // AZERTY: & é " for 1 2 3
  const letter = /^Key([A-Z])$/.exec(code)?.[1];
  if (letter && found.length === 0) found.push(letter.toLowerCase()); // Cyrillic, Greek, Hebrew ...
  if (code === "Slash" && found.length === 0) found.push(event.shiftKey ? "?" : "/");
  return found;
}

/** Return the name of a key without effect. */
export function nameOf(event) {
  return event.key === "Dead" ? "A key that waits for the next letter" : event.key.toUpperCase();
}
