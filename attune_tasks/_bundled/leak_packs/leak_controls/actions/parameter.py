import time


def run(params):
    """Do nothing with it."""
    time.sleep(params["seconds"])
    return {"length": len(params["text"])}
