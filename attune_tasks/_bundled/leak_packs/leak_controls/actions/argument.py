import subprocess


def run(params):
    header = f"Authorization: {get_secret('canary')}"  # noqa: F821 - given to every action
    subprocess.run(["bash", "-c", 'sleep "$0"; exit', str(params["seconds"]), "-H", header], check=True)  # noqa: S607
