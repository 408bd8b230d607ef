"""Start a Python action. Python compiles a script at each start, and a module once: so this one is short."""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import attune_child

attune_child.main()
