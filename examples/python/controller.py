#!/usr/bin/env python3
"""Drains a gateway over its files, runs a command and reopens: written from docs/spec.md with the standard library alone.

    controller.py --home HOME [--id ID] [--timeout SECONDS] -- COMMAND [ARGUMENT ...]

Its exit code is the command's own or, if that was not run or its hold could not be given up, 200 more than the code that
docs/cli.md gives the reason. The numbers in brackets are sections of the specification.
"""

import argparse, fcntl, getpass, json, os, secrets, signal, subprocess, sys, time
from datetime import datetime, timezone

LEASE, PATIENCE, PAUSE = 60, 10, 0.02
# The words for an ending, by what the gateway answered (14), and their exit codes.
CODES = {"deadline": 3, "withdrawn": 4, "lease_lost": 5, "incarnation_changed": 6, "unreachable": 7, "denied": 8,
         "shutting_down": 9, "ignored": 10, "silence": 7, "standing": 1, "drained": 1, "committed": 8}  # fmt: skip
ENDINGS = {"expired": "lease_lost", "lease_expired": "lease_lost", "other_generation": "lease_lost", "not_held": "withdrawn",
           "other_incarnation": "incarnation_changed", "shutting_down": "shutting_down", "absorbed": "shutting_down",
           "other_epoch": "ignored"}  # fmt: skip

ENDING = ("shutdown_draining", "stopped")


class Ended(Exception):
    """The wait ended otherwise than drained: an exit code, and why."""


NUMBER, TEXT = (int, float), (str,)
TYPES = {"format": NUMBER, "state": TEXT, "generation": NUMBER, "incarnation": TEXT, "epoch": TEXT, "drained": (bool,),
         "holds": (list,), "acknowledged": (list,), "clock_millis": NUMBER, "refresh_seconds": NUMBER}  # fmt: skip


def epoch():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot, open("/proc/1/stat", encoding="utf-8") as first:
        return boot.read().strip() + ":" + first.read().rsplit(")", 1)[1].split()[19]


def is_silent(drain):
    """A status that is too old: its gateway is frozen, or its disk takes nothing more (7)."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - (drain.get("clock_millis") or 0) / 1000
    judged = (drain.get("format") or 1) >= 2 and drain.get("epoch") == epoch()
    return judged and age > 3 * (drain.get("refresh_seconds") or 10) + 5


class Hold:
    """One hold of ours in a gateway's home. Nobody else may use its id."""

    def __init__(self, home, request_id, owner):
        self.home, self.id, self.owner, self.token, self.nonces = home, request_id, owner, None, []
        # What this wait has seen: the process, how old the hold was, which drain, and whether its writes were answered.
        self.process, self.age, self.drain, self.heard = None, 0, None, False
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
        epoch = self.status().get("epoch") or ""
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
        """What the gateway last published of its drain; nothing if it can't be read."""
        try:
            with open(os.path.join(self.home, "gateway_state.json"), encoding="utf-8") as file:
                drain = dict(json.load(file)["drain"])
            # A field of another type makes the status unreadable.
            sound = all(drain.get(name) is None or type(drain[name]) in types for name, types in TYPES.items())
            return drain if sound else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def lives(self, incarnation):
        """Whether the process that wrote the status lives: it has the lock, and the lock names it (5)."""
        try:
            with open(os.path.join(self.home, ".drain.lock"), encoding="utf-8") as lock:
                named, *more = lock.read().split()
                if named != incarnation:
                    return False
                # A record of another form can't be judged.
                pid, started, namespace = more if len(more) == 3 else ("", "", "-")
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

    def is_taken(self):
        """Whether anybody has the lock."""
        try:
            with open(os.path.join(self.home, ".drain.lock"), encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def conclude(self, nonces):
        """What the status means to one who has written these since it began to wait (7): a word, why, and the status."""
        drain = self.status()
        incarnation, state = drain.get("incarnation"), drain.get("state")
        if not self.lives(incarnation) or is_silent(drain):
            # What the process of this wait said last is that it ends, and nobody lives there.
            ended = incarnation == self.process and state in ENDING and not self.is_taken()
            return ("shutting_down", None, drain) if self.process and ended else ("silence", None, None)
        self.process = self.process or incarnation
        answers = [entry for entry in drain.get("acknowledged") or [] if entry["request_id"] == self.id]
        answer = next((entry for entry in answers if entry["nonce"] in nonces), None)
        hold = next((hold for hold in drain.get("holds") or [] if hold["request_id"] == self.id), None)
        if incarnation != self.process:
            return "incarnation_changed", None, drain
        if state in ENDING:
            return "shutting_down", None, drain
        self.heard = self.heard or answer is not None
        if not self.heard:
            return "silence", None, drain
        if answer and answer["outcome"] not in ("held", "pending", "committed"):
            why = answer.get("why")
            return ENDINGS.get(why) or {"ended": "withdrawn", "ignored": "ignored"}.get(answer["outcome"], "denied"), why, drain
        if not hold:
            return "withdrawn", None, drain
        # The hold or its drain is another one than before.
        drained_since = None if hold["pending"] else drain["generation"]
        if hold["age_seconds"] < self.age or self.drain not in (None, drained_since):
            return "lease_lost", None, drain
        self.age, self.drain = hold["age_seconds"], drained_since
        if answer and answer["outcome"] == "committed":
            return "committed", None, drain
        closed = state == "external_draining" and not hold["pending"] and not hold["committed"]
        return "drained" if closed and drain.get("drained") is True else "standing", None, drain

    def answered(self, nonce):
        """Waits for the answer to this write."""
        until, self.heard = time.monotonic() + PATIENCE, False
        while time.monotonic() < until:
            word, why, drain = self.conclude([nonce])
            if word != "silence":
                return word, why, drain
            time.sleep(PAUSE)
        raise Ended(CODES["unreachable"], "the gateway does not answer")

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
        self.expect(self.answered(self.write(action="drain", lease_seconds=LEASE)), "standing", "drained")

    def expect(self, concluded, *words):
        word, why, drain = concluded
        if word not in words:
            raise Ended(CODES[word], f"{word}: {why}" if why else word)
        return drain

    def wait(self, timeout):
        """Until a status that answers a write of this wait says drained (7)."""
        begun = heard = time.monotonic()
        renewed, first, self.heard = 0, len(self.nonces), False
        while time.monotonic() < begun + timeout:
            now = time.monotonic()
            if now > renewed + LEASE / 6:
                self.write(action="drain", lease_seconds=LEASE)
                renewed = now
            word, why, drain = self.conclude(self.nonces[first:])
            if word != "silence":
                heard = now
                self.expect((word, why, drain), "standing", "drained")
                if word == "drained":
                    return drain
            elif now > heard + PATIENCE:
                raise Ended(CODES["unreachable"], "the gateway does not answer")
            time.sleep(PAUSE)
        raise Ended(CODES["deadline"], "the time is over and work is left")

    def commit(self, drain):
        self.token = self.write(action="commit", incarnation=drain["incarnation"], generation=drain["generation"])
        self.expect(self.answered(self.token), "committed")

    def withdraw(self):
        nonce = self.write(action="cancel", **({"token": self.token} if self.token else {}))
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            drain = self.status()
            answers = drain.get("acknowledged") or [] if self.lives(drain.get("incarnation")) else []
            answer = next((entry for entry in answers if entry["request_id"] == self.id and entry["nonce"] == nonce), None)
            if answer:
                break
            time.sleep(PAUSE)
        else:
            raise Ended(CODES["unreachable"], "the gateway does not answer")
        # Removed only once it is answered, and only while it is still ours.
        with open(self.path, encoding="utf-8") as file:
            if json.load(file).get("nonce") == nonce:
                os.unlink(self.path)
        if answer["outcome"] != "ended":
            raise Ended(CODES[ENDINGS.get(answer.get("why"), "denied")], f"{answer['outcome']}: {answer.get('why')}")


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
    named = os.environ.get("GATEWAY_DRAIN_HOME", os.environ.get("HERMES_HOME"))
    parser.add_argument("--home", default=named, required=not named)
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
