"""`python -m allencv_al.service.server_simple`: AllenCV's name for `allencv-al serve`."""

from __future__ import annotations

import sys

from allencv_al.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
