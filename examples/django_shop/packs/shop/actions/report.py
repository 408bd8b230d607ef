import time

NET = 100
WITH_TAX = 119


def run(params):
    """Add up the orders of a month."""
    count, total = params["orders"], 0
    factor = WITH_TAX if params.get("with_tax") else NET
    for number in range(1, count + 1):
        amount = (990 + 137 * number) * factor // 100
        total += amount
        print(f"order A-{1000 + number}: {amount / 100:.2f} {params['currency']}", flush=True)
        set_progress(100 * number / count, f"{number} of {count} orders")  # noqa: F821 - given to every Python action
        time.sleep(params["pause"])
    return {"month": params["month"], "orders": count, "total": f"{total / 100:.2f} {params['currency']}"}
