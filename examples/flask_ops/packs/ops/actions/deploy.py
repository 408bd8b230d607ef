import hashlib
import hmac
import time


def run(params):
    """Roll a version out. No host is talked to: there is none."""
    token = get_secret("deploy_token")  # noqa: F821 - given to every Python action
    print(f"deploying with {token}")  # what should not be in a log comes out masked
    for number in range(1, params["hosts"] + 1):
        host = f"{params['service']}-{number}"
        set_progress(100 * number / params["hosts"], host)  # noqa: F821 - the same
        signature = hmac.new(token.encode(), f"{host} {params['version']}".encode(), hashlib.sha256).hexdigest()
        print(f"{host}: {params['version']} is up, request {signature[:12]}", flush=True)
        time.sleep(0.4)
    return {"service": params["service"], "version": params["version"], "hosts": params["hosts"]}
