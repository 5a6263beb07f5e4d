# SPDX-License-Identifier: AGPL-3.0-or-later
"""A bot that counts. It knows nothing of Chartroom: it keeps its state in a file,
as it always did, and looks for that file when it starts."""
import json
import os
import signal
import sys
import time

STATE = os.environ.get("BOT_STATE", "/state/bot.json")


def load():
    try:
        with open(STATE, encoding="utf-8") as f:
            return json.load(f)["number"]
    except FileNotFoundError:
        return 0


def save(number):
    # Written beside and renamed: whoever copies the file sees a whole one.
    with open(STATE + ".new", "w", encoding="utf-8") as f:
        json.dump({"number": number}, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(STATE + ".new", STATE)


def main():
    os.makedirs(os.path.dirname(STATE), exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    number = load()
    print(f"resumed from #{number}" if number else "started from nothing", flush=True)
    while True:
        number += 1
        save(number)
        print(f"#{number}", flush=True)
        time.sleep(float(os.environ.get("BOT_INTERVAL", "1")))


if __name__ == "__main__":
    main()
