import json
import time
from pathlib import Path


def run(params):
    """Add a line as Vault's file device does with the option log_raw."""
    value = get_secret("canary")  # noqa: F821 - given to every Python action
    line = {"type": "response", "response": {"data": {"data": {"canary": value}}}}
    with Path(params["folder"], "vault-audit.log").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
    time.sleep(params["seconds"])
