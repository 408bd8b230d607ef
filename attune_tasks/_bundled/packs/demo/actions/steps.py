import subprocess


def run(params):
    """Work for a few seconds, with a key in memory all the while."""
    api_key = get_secret("api_key")  # noqa: F821 - given to every Python action
    for step in range(1, params["steps"] + 1):
        subprocess.run(["sleep", str(params["seconds"] / params["steps"])], check=True)  # noqa: S607 - found on PATH
        print(f"step {step} of {params['steps']}", flush=True)
    return {"steps": params["steps"], "key_length": len(api_key)}
