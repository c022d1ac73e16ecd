#!/usr/bin/python3
# terminal.py: a program at a terminal, for the tests.
#
#	terminal.py EXPECT SEND EXPECT SEND ... EXPECT -- COMMAND...
#
# Waits for each EXPECT, a text, in what the program shows since the last one,
# and then types SEND, in which \t, \r and \x04 are what they say.  Status 1
# and all that was shown when an EXPECT does not come within 20 seconds.

import os
import pty
import re
import select
import signal
import sys
import time


def main():
    at = sys.argv.index("--")
    steps, command = sys.argv[1:at], sys.argv[at + 1:]
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execvp(command[0], command)
    shown = all_shown = ""
    status = 0
    for i, step in enumerate(steps):
        if i % 2 == 1:
            os.write(fd, step.encode().decode("unicode_escape").encode("latin-1"))
            continue
        end = time.monotonic() + 20
        while step not in shown:
            left = end - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                status = 1
                break
            try:
                data = os.read(fd, 4096)
            except OSError:
                data = b""
            if not data:
                status = 1
                break
            text = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])", "",
                          data.decode("utf-8", "replace"))
            text = text.replace("\x00", "")
            shown += text
            all_shown += text
        if status:
            print("not seen: %r in %r" % (step, all_shown))
            break
        shown = shown[shown.index(step) + len(step):]
    end = time.monotonic() + 5
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        if select.select([fd], [], [], 0.02)[0]:
            try:
                os.read(fd, 4096)
            except OSError:
                time.sleep(0.02)
    sys.exit(status)


if __name__ == "__main__":
    main()
