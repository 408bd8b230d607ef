import hashlib
import hmac
import json


def run(params):
    """Sign the request to the payment provider, as its API would have it. Nothing is sent: there is no provider."""
    key = get_secret("payment_api_key")  # noqa: F821 - given to every Python action
    request = json.dumps({"order": params["order"], "refund": params["amount_cents"]}, sort_keys=True)
    signature = hmac.new(key.encode(), request.encode(), hashlib.sha256).hexdigest()
    print(f"POST /refunds {request}")
    print(f"authorization: {key}")  # what should not be in a log comes out masked
    return {"order": params["order"], "amount_cents": params["amount_cents"], "signature": signature[:16]}
