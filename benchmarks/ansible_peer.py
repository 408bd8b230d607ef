"""Runs a script by ``ansible_runner.run`` for each line on standard input: by the venv that has ansible-runner.

Arguments: a folder for it, the interpreter, the script, the secrets and parameters as a JSON object of variables.
For each line it answers with one, which is what the script has printed, or empty where that failed.
"""

import json
import sys

import ansible_runner

FOLDER, INTERPRETER, SCRIPT, VARIABLES = sys.argv[1:]


def _run() -> str:
    done = ansible_runner.run(
        private_data_dir=FOLDER,
        inventory=f"localhost ansible_connection=local ansible_python_interpreter={INTERPRETER}",
        host_pattern="localhost",
        module="command",
        module_args=f"{INTERPRETER} {SCRIPT}",
        envvars=json.loads(VARIABLES),
        quiet=True,
    )
    if done.status != "successful":
        return ""
    printed = [event["event_data"]["res"]["stdout"] for event in done.events if event["event"] == "runner_on_ok"]
    return str(printed[0])


for _ in sys.stdin:
    sys.stdout.write(_run() + "\n")
    sys.stdout.flush()
