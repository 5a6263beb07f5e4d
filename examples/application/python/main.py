#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An example application: it adds numbers up, and survives."""
import contextlib, json, os, signal, socket, sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with contextlib.suppress(FileNotFoundError):
    os.remove(os.environ["CHARTROOM_SOCKET"])  # left behind by a run that was killed
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["CHARTROOM_SOCKET"])
listener.listen()

total, cursor = 0, 0  # the whole state
while True:
    connection, _ = listener.accept()  # the agent dials again when it breaks
    with contextlib.suppress(OSError), connection.makefile("rw", encoding="utf-8", newline="\n") as stream:
        for m in map(json.loads, stream):
            say = lambda **fields: print(json.dumps({"run": m["run"], **fields}), file=stream, flush=True)
            if m["type"] == "restore":
                if not m.get("resume"):
                    total, cursor = m["snapshot"] or 0, m["sequence"]
                say(type="ready", sequence=cursor)
            elif m["type"] == "event":
                if m["sequence"] > cursor:  # else its effect is contained already
                    total, cursor = total + m["data"]["number"], m["sequence"]
                    say(type="snapshot", sequence=cursor, snapshot=total)
                say(type="answer", sequence=m["sequence"])
            elif m["type"] == "take_snapshot":
                say(type="snapshot", sequence=cursor, snapshot=total)
