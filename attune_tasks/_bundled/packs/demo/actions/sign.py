import hashlib
import hmac


def run(params):
    """Sign a message."""
    key = get_secret("signing_key")  # noqa: F821 - given to every Python action
    signature = hmac.new(key.encode(), params["message"].encode(), hashlib.sha256).hexdigest()
    return {"algorithm": "HMAC-SHA-256", "signature": signature}
