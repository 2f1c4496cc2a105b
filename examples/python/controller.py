#!/usr/bin/env python3
"""Drains a gateway over its files, runs a command and reopens: written from docs/spec.md with the standard library alone.

    controller.py --home HOME [--id ID] [--timeout SECONDS] -- COMMAND [ARGUMENT ...]

Its exit code is the command's own or, if that was not run or its hold could not be given up, 200 more than the code that
docs/cli.md gives the reason. The numbers in brackets are sections of the specification.
"""

import argparse, fcntl, getpass, json, os, secrets, signal, subprocess, sys, time
from datetime import datetime, timezone

LEASE, PATIENCE, PAUSE = 60, 10, 0.02


class Ended(Exception):
    """The wait ended otherwise than drained: an exit code, and why."""


class Hold:
    """One hold of ours in a gateway's home. Nobody else may use its id."""

    def __init__(self, home, request_id, owner):
        self.home, self.id, self.owner, self.token, self.nonces = home, request_id, owner, None, []
        self.folder = os.path.join(home, ".drain_holds")
        self.path = os.path.join(self.folder, request_id + ".json")

    def write(self, **request):
        """Replaces the hold's file whole (5.3), and returns the nonce of this write."""
        nonce = secrets.token_hex(16)
        try:
            user = os.stat(os.path.join(self.home, ".drain.lock"))
        except FileNotFoundError:
            raise Ended(7, "no gateway that knows holds has run in this home") from None
        except PermissionError:
            user = None
        if not user or os.geteuid() not in (0, user.st_uid):
            raise Ended(8, "only the gateway's user, or root, can write what the gateway reads")
        epoch = ((self.status() or {}).get("drain") or {}).get("epoch", "")
        request |= {"request_id": self.id, "principal": self.owner, "nonce": nonce, "epoch": epoch}
        request["requested_at"] = datetime.now(timezone.utc).isoformat()
        temporary = os.path.join(self.folder, f".{self.id}.{nonce}.tmp")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
            os.fchown(file.fileno(), user.st_uid, user.st_gid)
            json.dump(request, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, self.path)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self.nonces.append(nonce)
        return nonce

    def status(self):
        try:
            with open(os.path.join(self.home, "gateway_state.json"), encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def lives(self, incarnation):
        """Whether the process that wrote the status lives: it has the lock, and the lock names it (5)."""
        try:
            with open(os.path.join(self.home, ".drain.lock"), encoding="utf-8") as lock:
                named, pid, started, namespace = lock.read().split()
                if named != incarnation:
                    return False
                if namespace == str(os.stat("/proc/self/ns/pid").st_ino):
                    state, *rest = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
                    if state in "ZX" or rest[18] != started:
                        return False
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except BlockingIOError:
            return True
        except (OSError, ValueError, IndexError):
            return False

    def answer(self, nonces):
        """What a living gateway says, and what it answered to one of these writes: (drain, outcome, why)."""
        drain = (self.status() or {}).get("drain") or {}
        if not self.lives(drain.get("incarnation")):
            return None, None, None
        for entry in drain["acknowledged"]:
            if entry["request_id"] == self.id and entry["nonce"] in nonces:
                return drain, entry["outcome"], entry.get("why")
        return drain, None, None

    def heard(self, nonce):
        """Waits for the answer to this write."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            drain, outcome, why = self.answer([nonce])
            if outcome:
                return drain, outcome, why
            time.sleep(PAUSE)
        raise Ended(7, "the gateway does not answer")

    def begin(self):
        # A commit of ours that is still there: its nonce is the token, and it is given back first.
        try:
            with open(self.path, encoding="utf-8") as file:
                left = json.load(file)
            if left.get("principal") == self.owner and left.get("action") == "commit":
                self.token = left["nonce"]
                self.withdraw()
        except (OSError, ValueError):
            pass
        self.granted(self.heard(self.write(action="drain", lease_seconds=LEASE)), "held", "pending")

    def granted(self, answer, *outcomes):
        drain, outcome, why = answer
        if outcome not in outcomes:
            codes = {"shutting_down": 9, "other_epoch": 10, "other_incarnation": 6, "expired": 5, "lease_expired": 5}
            raise Ended(codes.get(why, 4 if outcome == "ended" else 8), f"{outcome}: {why}")
        return drain

    def wait(self, timeout):
        """Until a status that answers a write of this wait says drained (7)."""
        begun = heard = time.monotonic()
        renewed, first, incarnation = 0, len(self.nonces), None
        while time.monotonic() < begun + timeout:
            now = time.monotonic()
            if now > renewed + LEASE / 3:
                self.write(action="drain", lease_seconds=LEASE)
                renewed = now
            drain, outcome, why = self.answer(self.nonces[first:])
            if outcome:
                heard = now
                self.granted((drain, outcome, why), "held", "pending")
                if incarnation not in (None, drain["incarnation"]):
                    raise Ended(6, "the gateway was replaced by another process")
                incarnation = drain["incarnation"]
                if outcome == "held" and drain["drained"]:
                    return drain
            elif now > heard + PATIENCE:
                raise Ended(7, "the gateway does not answer")
            time.sleep(PAUSE)
        raise Ended(3, "the time is over and work is left")

    def commit(self, drain):
        self.token = self.write(action="commit", incarnation=drain["incarnation"], generation=drain["generation"])
        self.granted(self.heard(self.token), "committed")

    def withdraw(self):
        nonce = self.write(action="cancel", **({"token": self.token} if self.token else {}))
        outcome, why = self.heard(nonce)[1:]
        # Removed only once it is answered, and only while it is still ours.
        with open(self.path, encoding="utf-8") as file:
            if json.load(file).get("nonce") == nonce:
                os.unlink(self.path)
        self.granted((None, outcome, why), "ended")


def run(hold, timeout, command):
    try:
        hold.begin()
        hold.commit(hold.wait(timeout))
        code = subprocess.run(command).returncode
    except BaseException:
        if hold.nonces:
            hold.withdraw()
        raise
    try:
        hold.withdraw()
    except Ended:
        if code == 0:
            raise
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", default=os.environ.get("HERMES_HOME") or os.path.expanduser("~/.hermes"))
    parser.add_argument("--id", default=secrets.token_hex(16))
    parser.add_argument("--owner", default=getpass.getuser())
    parser.add_argument("--timeout", type=float, default=float("inf"))
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(run(Hold(options.home, options.id, options.owner), options.timeout, options.command))
    except Ended as ended:
        print(f"controller: {ended.args[1]}", file=sys.stderr)
        sys.exit(200 + ended.args[0])
    except KeyboardInterrupt:
        sys.exit(230)
