// The editor of each kind of label that is more than one class.

import { BoxEditor } from "./boxes.js";
import { MaskEditor } from "./masks.js";
import { TagEditor } from "./tags.js";

const EDITORS = { boxes: BoxEditor, tags: TagEditor, mask: MaskEditor };

/** Return the editor that a session names, over the stage; null where a label is one class. */
export function editorOf(widget, stage) {
  return widget in EDITORS ? new EDITORS[widget](stage) : null;
}
