import os
import time


def run(params):
    """Keep the value in a file in memory for a while."""
    number = os.memfd_create("leak-control")
    try:
        os.write(number, get_secret("canary").encode())  # noqa: F821 - given to every Python action
        time.sleep(params["seconds"])
    finally:
        os.close(number)
