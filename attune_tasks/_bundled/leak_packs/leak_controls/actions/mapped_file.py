import subprocess
import sys

PROGRAM = """
import mmap, os, sys, time
name = sys.stdin.readline().strip()
with open(name, "w+b") as file:
    file.write(bytes(mmap.PAGESIZE))
    file.flush()
    kept = mmap.mmap(file.fileno(), 0)
# mmap has a descriptor of its own: closed, so that only the mapping shows the name.
for number in os.listdir("/proc/self/fd"):
    if int(number) > 2:
        try:
            os.close(int(number))
        except OSError:
            pass
time.sleep(float(sys.argv[1]))
os.remove(name)
"""


def run(params):
    name = get_secret("canary_short")  # noqa: F821 - given to every action
    argv = [sys.executable, "-I", "-c", PROGRAM, str(params["seconds"])]
    subprocess.run(argv, input=name.encode(), check=True)
