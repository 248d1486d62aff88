"""Print the README's install line and test line: those after `<!-- ci: ... -->` comments."""

from __future__ import annotations

import re
import sys
from pathlib import Path

MARKED = re.compile(r"<!-- ci: \w+ -->\s*```bash\n(.+?)\n```", re.DOTALL)


def main() -> None:
    """Print each marked block on one line."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    for block in MARKED.findall(text):
        sys.stdout.write(" && ".join(line for line in block.splitlines() if line.strip()) + "\n")


if __name__ == "__main__":
    main()
