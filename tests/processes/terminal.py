"""What a shell on a terminal does with `run`: reads its home and the tool from its arguments, and says what went wrong."""

import os
import pty
import select
import signal
import sys
import time

home, tool = sys.argv[1:3]
LIMIT = 60
# What hangs ends the script, whose terminal goes with it.
signal.alarm(2 * LIMIT)


def start(command, stdin=""):
    pid, terminal = pty.fork()
    if pid == 0:
        words = f'exec "{tool}" --home "{home}" run -- sh -c \'{command}\' {stdin}'
        os.execvp("sh", ["sh", "-c", words])
    return pid, terminal


def until_said(terminal, text):
    said, end = b"", time.monotonic() + LIMIT
    while text not in said:
        assert time.monotonic() < end, f"it never said {text}: {said}"
        if select.select([terminal], [], [], 1)[0]:
            said += os.read(terminal, 1024)


def until(what, is_so):
    end = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.01)


# The command has the terminal, reads from it, and is stopped by Ctrl-Z with all of `run`; continued, it goes on.
pid, terminal = start('read a; echo "first $a"; read b; echo "second $b"')
os.write(terminal, b"one\n")
until_said(terminal, b"first one")
assert os.tcgetpgrp(terminal) != pid, "the terminal is not the command's"
os.write(terminal, b"\x1a")
_, status = os.waitpid(pid, os.WUNTRACED)
assert os.WIFSTOPPED(status), f"Ctrl-Z stops the command alone: {status}"
assert os.tcgetpgrp(terminal) == pid, "the terminal was not taken back for the shell"
os.kill(pid, signal.SIGCONT)
until("the command never got the terminal again", lambda: os.tcgetpgrp(terminal) != pid)
os.write(terminal, b"two\n")
until_said(terminal, b"second two")
assert os.waitpid(pid, 0)[1] == 0

# A command that reads from elsewhere leaves the terminal where it is.
pid, terminal = start('echo "runs here"; read a; exit 3', "<> " + os.path.join(home, "input"))
until_said(terminal, b"runs here")
# Its command runs, so what it waits for is the end of that: the terminal is given away by then, or isn't.
until("run never waited for its command", lambda: open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "S")
assert os.tcgetpgrp(terminal) == pid, "the terminal was given to a command that doesn't read from it"
with open(os.path.join(home, "input"), "w") as input:
    input.write("line\n")
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
