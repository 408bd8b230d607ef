import os
import subprocess


def run(params):
    environment = {"PATH": os.environ["PATH"], "CANARY_KEY": get_secret("canary")}  # noqa: F821 - given to every action
    subprocess.run(["sleep", str(params["seconds"])], env=environment, check=True)  # noqa: S607 - found on PATH
