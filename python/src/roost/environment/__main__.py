"""`python -I -S …/roost/environment/__main__.py STEP ORDER`: one step of making an environment of a node.

Runs inside the build's sandbox with nothing but the standard library. Steps: `resolve` (a lock of what was asked for),
`install` (a virtual environment of the lock), `finish` (bytecode, and what is in it; without network), and `inspect FILE`
(what the packages beside the interpreter in FILE are). Results are files in the order's folder; what happens goes to its log.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from roost.environment.steps import main

    sys.exit(main(sys.argv[1:]))
