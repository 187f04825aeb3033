"""Which seeds a random test takes: others every day, as many as its time allows, printed, and repeatable.

NORN_SEED=n begins at n, and then the count alone ends the test. NORN_SECONDS is the time of one test.
"""

import datetime
import os
import time


def seeds(name, count, seconds):
    """Seeds of the test `name`: at most `count`, and begun within `seconds`."""
    given = os.environ.get("NORN_SEED")
    seconds = float(os.environ.get("NORN_SECONDS", seconds))
    first = int(given) if given else datetime.date.today().toordinal() * 1000 % 10**8
    print(f"{name}: NORN_SEED={first}", flush=True)
    begin, done = time.monotonic(), 0
    for seed in range(first, first + count):
        if not given and time.monotonic() - begin > seconds and done >= 5:
            break
        done += 1
        yield seed
    print(f"{name}: {done} seeds in {time.monotonic() - begin:.0f} s", flush=True)
