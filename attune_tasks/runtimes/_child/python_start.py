# The interpreter is told this file's name. It is short, for Python compiles a script anew at each start; the module
# that it imports is compiled once.
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import attune_child

attune_child.main()
