import hashlib
import hmac


def run(params):
    """Greet someone. What is returned is the result; what is printed is the log."""
    greeting = " ".join([f"Hello, {params['name']}!"] * params["times"])
    key = get_secret("key")  # noqa: F821 - given to every Python action
    print(f"greeting {params['name']}")
    return {"greeting": greeting, "signature": hmac.new(key.encode(), greeting.encode(), hashlib.sha256).hexdigest()}
