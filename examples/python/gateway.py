#!/usr/bin/env python3
"""A gateway that can be drained, written from docs/spec.md with Python's standard library alone.

    gateway.py --home HOME [--listen 127.0.0.1:8080] [--tick-ms 1000] [--deadline-ms 30000]

`POST /turns` with `{"millis": 5000}` runs a turn of five seconds. The main thread looks at the files; one lock covers the
gate and its holds, so that each look is one step. The numbers in brackets are sections of the specification. Of section 5 it
leaves out two guards: it doesn't try whether the file system locks at all, and puts back no lock file that somebody removed.
It admits no internal work, and has no endpoint.
"""

import argparse, contextlib, fcntl, hashlib, json, os, re, secrets, signal, stat, sys, threading, time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MARKER, HOLDS, STATUS = ".drain_request.json", ".drain_holds", "gateway_state.json"
LOCK, COMMITS = ".drain.lock", ".drain_commits.json"
NAMES = ["principal", "nonce", "token", "incarnation", "epoch"]
SECONDS = {"lease_seconds": (1, 86400), "deadline_seconds": (0.001, 31536000), "unready_delay_seconds": (0, 600)}
SHORTENED = {"reason": 512, "ticket": 256}
OTHERS = ["action", "request_id", "generation", "suppress_notification", "requested_at"]
MAX_GENERATION = 4194303
# Unicode's; Python's own has U+001C to U+001F too.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
FIELDS = {*NAMES, *SHORTENED, *SECONDS, *OTHERS}
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
ID = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def since_boot():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def start_time(pid):
    return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[19]


def other_boot(one, other):
    """What both know is compared: the kernel's boot, and the start of process 1 (8)."""
    return any(a and b and a != b for a, b in zip(one.partition(":")[::2], other.partition(":")[::2]))


def read(folder, name, most):
    """The content of a regular file and when it was written (5.2)."""
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise ValueError("it is no regular file")
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        content = file.read(most + 1)
        if len(content) > most:
            raise ValueError("it is too large")
        return content, os.fstat(file.fileno()).st_mtime_ns


def replace(folder, name, value):
    """Writes a file whole (5.3)."""
    temporary, flags = f".{name}.{secrets.token_hex(8)}.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(temporary, flags, 0o600, dir_fd=folder), "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def is_taken(file, lock=fcntl.LOCK_EX):
    """Whether somebody else has locked it; if not, it is locked from now on. Not every file system locks folders."""
    try:
        fcntl.flock(file, lock | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)


def is_of_first_version(folder):
    """Whether a gateway of the first version runs there, which has another lock (5)."""
    with contextlib.suppress(OSError, ValueError):
        its = re.fullmatch(rb"[0-9a-f]{32} [1-9][0-9]*\n?", read(folder, "gateway.lock", 256)[0])
        return its and is_taken(open(f"/proc/self/fd/{folder}/gateway.lock"), fcntl.LOCK_SH)


class Object(list):
    """A JSON object, as its pairs."""


def finite(text):
    if abs(float(text)) == float("inf"):
        raise ValueError("a number in it is too large")
    return float(text)


def levels(value):
    inner = [value for _, value in value] if isinstance(value, Object) else value
    return 1 + max(map(levels, inner), default=0) if isinstance(value, list) else 0


def interpret(content, modified, epoch, marker):
    """What a file asks a gateway of this epoch for (5.1)."""
    pairs = json.loads(content.decode(), object_pairs_hook=Object, parse_float=finite, parse_int=finite, parse_constant=int)
    if not isinstance(pairs, Object) or levels(pairs) > 127:
        raise ValueError("it is no object, or nests too deep")
    json.dumps(pairs, ensure_ascii=False).encode()  # no lone surrogate
    fields = dict(pairs)
    if any(name in FIELDS and sum(name == other for other, _ in pairs) > 1 for name in fields):
        raise ValueError("a field stands in it twice")
    request = {name: fields[name] if isinstance(fields.get(name), str) else "" for name in [*NAMES, *SHORTENED]}
    if any(len(request[name]) > 256 for name in NAMES):
        raise ValueError("a text in it is too long")
    for name, most in SHORTENED.items():
        request[name] = text if len(text := request[name]) <= most else text[: most - 1] + "…"
    request["action"] = "drain" if marker else str(fields.get("action")).strip(WHITE_SPACE).lower()
    if request["epoch"] and other_boot(request["epoch"], epoch):
        request["action"] = "stale"
    elif request["action"] not in ("drain", "commit", "cancel", "override"):
        raise ValueError("it has no known action")
    for name, (least, most) in SECONDS.items():
        number = fields.get(name)
        request[name] = round(max(least, min(number, most)), 9) if isinstance(number, float) and number > 0 else 0
    number = fields.get("generation")
    whole = isinstance(number, float) and number.is_integer() and 0 <= number <= MAX_GENERATION
    request["generation"] = int(number) if whole else None
    request["suppress_notification"] = fields.get("suppress_notification") is True
    written, at = modified / 1e9, fields.get("requested_at")
    if isinstance(at, str) and RFC_3339.fullmatch(at):
        with contextlib.suppress(ValueError):
            at = datetime.fromisoformat(at.upper().replace(":60", ":59", at[17:19] == "60"))
            written = (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
    return {**request, "age": time.time() - written}


def find(folder, name, epoch, marker=False):
    """What lies there: nothing (only a definite absence is), a request, or something unreadable (5.2)."""
    nonce = None
    try:
        content, modified = read(folder, name, 65536)
        nonce = f"{hashlib.sha256(content).hexdigest()[:16]}-{modified}"
        request = interpret(content, modified, epoch, marker)
        return {**request, "nonce": request["nonce"] or nonce}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        return unreadable(error, nonce)


def shown(name):
    """The name of a file, of which any bytes can be part, in printable ASCII (5.2)."""
    text = (os.fsencode(name) + b".json").decode(errors="replace")
    escapes = {"\t": "\\t", "\r": "\\r", "\n": "\\n", "\\": "\\\\", "'": "\\'", '"': '\\"'}
    return "".join(escapes.get(c) or (c if " " <= c <= "~" else f"\\u{{{ord(c):x}}}") for c in text)


def unreadable(why, nonce=None):
    nothing = dict.fromkeys([*NAMES, *SECONDS, "suppress_notification", "age"], 0)
    return {**nothing, "action": None, "principal": "", "reason": str(why), "ticket": "", "nonce": nonce}


class Gateway:
    def __init__(self, home, tick):
        os.makedirs(home, mode=0o700, exist_ok=True)
        self.home, self.tick, self.incarnation = os.open(home, os.O_RDONLY | os.O_DIRECTORY), tick, secrets.token_hex(16)
        self.epoch = open("/proc/sys/kernel/random/boot_id").read().strip() + ":" + start_time(1)
        self.books, self.interrupt = threading.Lock(), threading.Event()
        self.state, self.generation, self.in_flight, self.revision = "running", 0, 0, 0
        # By request id: what keeps the gate closed, and what was decided of the write that lies there (4).
        self.holds, self.ledger, self.knows_nothing = {}, {}, True
        # What can't be read is no write, and answered beside the last one; `lapsed` are names under which a lease ran out.
        self.unread, self.lapsed = {}, set()
        self.errors, self.last_error, self.published, self.recorded = 0, None, ("", 0, None), None
        self.lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self.home)
        patience = since_boot() + 1
        while is_of_first_version(self.home) or is_taken(self.home) or is_taken(self.lock):
            # A reader may be trying it.
            if since_boot() > patience:
                sys.exit("another gateway runs in this home")
            time.sleep(0.02)
        os.ftruncate(self.lock, 0)
        record = [self.incarnation, os.getpid(), start_time("self"), os.stat("/proc/self/ns/pid").st_ino]
        os.write(self.lock, " ".join(map(str, record)).encode() + b"\n")
        if HOLDS not in os.listdir(self.home):
            os.mkdir(HOLDS, 0o700, dir_fd=self.home)
        self.take_over()

    def take_over(self):
        """From the status of an earlier process or, if that is lost, from the record of commits (8)."""
        for name in (STATUS, COMMITS):
            try:
                left = json.loads(read(self.home, name, 1 << 26)[0])
                left = left.get("drain", {"epoch": ""}) if name == STATUS else left
                if left["epoch"] == self.epoch:
                    takeover, then = left.get("takeover", {}), left["clock_millis"] / 1000
                    more = takeover.get("python", {})
                    for hold in (hold for hold in left["holds"] if hold["source"] == "file"):
                        known = {"own": not hold.get("overwritten"), "bound": bool(hold.get("bound")), "closes": 0}
                        known |= {"since": then - hold["age_seconds"], "committed_at": then}
                        known |= {"expires": then + (hold["lease_left_seconds"] or 0), **more.get(hold["request_id"], {})}
                        self.holds[hold["request_id"]] = {**hold, **known}
                    # What was for that process alone has ended with it.
                    ended = {name for name, hold in self.holds.items() if hold["bound"]}
                    self.holds = {name: hold for name, hold in self.holds.items() if name not in ended}
                    decided = [entry for entry in left.get("acknowledged", [])
                               if entry.get("why") != "shutting_down" and entry["request_id"] not in ended
                               and (name == STATUS or entry["request_id"] in self.holds)]  # fmt: skip
                    for entry in decided:
                        answers = self.unread if entry["nonce"] is None else self.ledger
                        answers[entry["request_id"]] = {"why": None, **entry}
                    told = {entry["request_id"] for entry in decided if entry.get("why") in ("expired", "lease_expired")}
                    self.lapsed = set(takeover.get("lapsed", told))
                self.knows_nothing = name != STATUS
                return
            except FileNotFoundError:
                pass
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                self.errors, self.last_error = self.errors + 1, f"{name} can't be read: {error!r}"

    def admit(self):
        """Looked at and counted in one step (3)."""
        with self.books:
            admitted = self.state == "running"
            self.in_flight += admitted
            return admitted

    def leave(self):
        with self.books:
            self.in_flight -= 1

    def drained(self):
        return self.state != "running" and self.in_flight == 0

    def decide(self, name, asked, now):
        """What becomes of a write that lies in the channel (4); the first that applies."""
        hold, action = self.holds.get(name), asked["action"]
        lost = action == "commit" and self.knows_nothing and not hold
        stranger = hold and hold["owner"] != asked["principal"] and (hold["owner"] or hold["committed"] or action != "drain")
        ending = self.state in ("shutdown_draining", "stopped")
        if action == "stale":
            outcome = "ignored", "other_epoch"
        elif ending and (action not in ("cancel", "override")) and not lost:
            outcome = "refused", "shutting_down"
        elif asked["incarnation"] not in (0, "", self.incarnation) and not lost:
            outcome = "refused", "other_incarnation"
        elif ending and not hold:
            outcome = "refused", "shutting_down"
        elif action == "override":
            outcome = "ended", "overridden"
        elif lost:
            # Whether it was granted is lost: closed for one lease, and nobody is told that it may act (8).
            self.hold(name, asked, now)
            outcome = "refused", "not_held"
        elif stranger:
            outcome = "refused", "not_yours"
        elif action == "cancel":
            mine = not hold or not hold["committed"] or asked["token"] == hold["token"]
            outcome = ("ended", "withdrawn") if mine else ("refused", "committed")
        elif action == "commit":
            outcome = self.commit(name, hold, asked, now)
        elif hold and hold["committed"]:
            outcome = "refused", "committed"
        else:
            # What can't be read renews nothing.
            if not hold or asked["nonce"]:
                self.hold(name, asked, now)
            outcome = "held", None
        if outcome[0] == "ended":
            self.holds.pop(name, None)
        elif name in self.holds:
            # What lies over another's hold ends it neither by its coming nor by its going: that hold lives out its lease.
            self.holds[name]["own"] = not stranger and outcome[0] != "ignored"
        answers = self.ledger if asked["nonce"] else self.unread
        answers[name] = {"request_id": name, "nonce": asked["nonce"], "outcome": outcome[0], "why": outcome[1]}

    def hold(self, name, asked, now):
        """A hold begins or is renewed."""
        before, lease, age = self.holds.get(name), max(asked["lease_seconds"] or 3600, 1), asked["age"]
        late = min(age, lease / 2) if not before and 0 < age < lease else 0
        self.lapsed.discard(name)
        begun = before or {"since": now, "closes": now + asked["unready_delay_seconds"]}
        self.holds[name] = {
            "request_id": name, "owner": asked["principal"], "reason": asked["reason"], "ticket": asked["ticket"], "source": "file",
            "since": begun["since"], "closes": begun["closes"], "expires": now + lease - late, "nonce": asked["nonce"],
            "committed": False, "token": None, "bound": bool(asked["incarnation"]) and asked["action"] == "drain",
            "deadline_seconds": asked["deadline_seconds"] or None, "suppress_notification": asked["suppress_notification"],
        }  # fmt: skip

    def commit(self, name, hold, asked, now):
        if not hold:
            return "refused", "lease_expired" if name in self.lapsed else "not_held"
        if not asked["incarnation"]:
            return "refused", "other_incarnation"
        if asked["generation"] != self.generation:
            return "refused", "other_generation"
        if hold["closes"] > now or not self.drained():
            return "refused", "not_closed_yet" if hold["closes"] > now else "not_drained"
        since = hold["committed_at"] if hold["committed"] else now
        hold.update(committed=True, token=asked["nonce"], nonce=asked["nonce"], committed_at=since, bound=False)
        return "committed", None

    def scan(self):
        """What lies in the channel, by request id, and whether all of it could be looked at."""
        found = {"marker": find(self.home, MARKER, self.epoch, marker=True)}
        try:
            folder = os.open(HOLDS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.home)
            names = {name[:-5] for name in os.listdir(folder) if name.endswith(".json") and name[0] != "."}
            # That a listing lacks a file is no absence: what is known is asked for by its name.
            for name in names | {known for known in [*self.holds, *self.ledger, *self.unread] if known[0] != "!" and known != "marker"}:
                sound = len(name) <= 64 and ID.issuperset(name) and name != "marker"
                found[name if sound else "!" + shown(name)] = find(folder, name + ".json", self.epoch) if sound else unreadable("no request id")
            os.close(folder)
            return found, True
        except OSError as error:
            return (found, True) if isinstance(error, FileNotFoundError) else ({**found, "!holds": unreadable(error)}, False)

    @staticmethod
    def renews(hold, asked):
        """Whether its owner renews or commits it."""
        return hold and asked["principal"] == hold["owner"] and asked["action"] in ("drain", "commit", None)

    def gone(self, name):
        """Definitely absent."""
        hold = self.holds.get(name)
        for known in (self.ledger, self.unread):
            known.pop(name, None)
        self.lapsed.discard(name)
        if hold and (hold["own"] or name == "marker") and not hold["committed"]:
            del self.holds[name]

    def answer(self, name, asked, now):
        """Each write is decided once."""
        known = (self.ledger if asked["nonce"] else self.unread).get(name)
        if not known or known["nonce"] != asked["nonce"]:
            self.decide(name, asked, now)

    def expire(self, name):
        del self.holds[name]
        self.lapsed.add(name)
        for known in (self.ledger, self.unread):
            if known.get(name, {}).get("outcome") in ("held", "pending"):
                known[name].update(outcome="ended", why="expired")

    def look(self):
        """One look is one step (5.4)."""
        with self.books:
            now, (found, whole) = since_boot(), self.scan()
            known = {*self.holds, *self.ledger, *self.unread} if whole else set()
            for name in {*found, *known}:
                if found.get(name) is None:
                    self.gone(name)
                elif found[name]["nonce"]:
                    self.unread.pop(name, None)
            there = {name: asked for name, asked in found.items() if asked}
            renewals = {name for name, asked in there.items() if self.renews(self.holds.get(name), asked)}
            for name in renewals:
                self.answer(name, there[name], now)
            for name, hold in list(self.holds.items()):
                if not hold["committed"] and hold["expires"] <= now:
                    self.expire(name)
            for name in there.keys() - renewals:
                self.answer(name, there[name], now)
            self.knows_nothing = False
            closed = any(hold["closes"] <= now for hold in self.holds.values())
            if closed != (self.state != "running") and self.state in ("running", "external_draining"):
                self.move("external_draining" if closed else "running")
            self.publish(now)

    def move(self, state):
        self.generation += self.state == "running"
        self.state = state

    def lies(self, name):
        return name in self.ledger or name in self.unread

    def ignored(self):
        """What lies in the channel, or doesn't any more, and is not honoured."""
        yield from ((name, "other_epoch") for name, entry in self.ledger.items() if entry["outcome"] == "ignored")
        yield from ((name, "overwritten") for name, hold in self.holds.items() if not hold["own"] and self.lies(name))
        yield from ((name, "file_gone") for name, hold in self.holds.items() if hold["committed"] and not self.lies(name))

    def lying(self):
        """Which file is the status now: one that somebody removed or replaced is published again."""
        with contextlib.suppress(OSError):
            file = os.stat(STATUS, dir_fd=self.home, follow_symlinks=False)
            return file.st_ino, file.st_mtime_ns

    def publish(self, now):
        """The status, if it says something new or the last is ten seconds old (6)."""
        answers = [*self.ledger.values(), *self.unread.values()]
        for entry in answers:
            if entry["outcome"] in ("held", "pending") and entry["request_id"] in self.holds:
                entry["outcome"] = "pending" if self.holds[entry["request_id"]]["closes"] > now else "held"
        private = ["own", "since", "closes", "expires", "committed_at"]
        public = lambda hold: {name: value for name, value in hold.items() if name not in private}
        holds = [{**public(hold), "pending": hold["closes"] > now, "age_seconds": now - hold["since"],
                  "first_seen_millis": int(hold["since"] * 1000),
                  "lease_left_seconds": None if hold["committed"] else hold["expires"] - now,
                  "overdue": bool(hold["deadline_seconds"]) and now >= hold.get("committed_at", now) + hold["deadline_seconds"],
                  "overwritten": not hold["own"]}
                 for hold in self.holds.values()]  # fmt: skip
        drain = {
            "format": 2, "state": self.state, "generation": self.generation, "incarnation": self.incarnation,
            "epoch": self.epoch, "in_flight": self.in_flight, "internal": 0, "drained": self.drained(),
            "interrupted": self.interrupt.is_set(), "abandoned": self.state == "stopped" and self.in_flight > 0,
            "pending": any(hold["pending"] for hold in holds), "acknowledged": answers,
            "suppress_notification": any(hold["suppress_notification"] for hold in holds),
            "ignored": [{"request_id": name, "kind": kind, "detail": kind} for name, kind in self.ignored()],
            "reconciler": {"alive": True, "errors": self.errors, "panics": 0, "last_error": self.last_error},
            "tick_seconds": self.tick, "refresh_seconds": 10,
            # What only the next process needs.
            "takeover": {"python": {name: {key: hold[key] for key in private if key in hold}
                                    for name, hold in self.holds.items()}, "lapsed": sorted(self.lapsed)},
        }  # fmt: skip
        says = json.dumps([drain, [{**hold, "age_seconds": 0, "lease_left_seconds": 0} for hold in holds]])
        if (says, self.lying()) == (self.published[0], self.published[2]) and now < self.published[1] + 10:
            return
        self.revision += 1
        moment = {"revision": self.revision, "clock_millis": int(now * 1000)}
        commits = [hold for hold in holds if hold["committed"]]
        try:
            # A commit is on record before anybody is told of it (8).
            if [hold["token"] for hold in commits] != self.recorded:
                replace(self.home, COMMITS, {"format": 1, **drain, **moment, "holds": commits})
                self.recorded = [hold["token"] for hold in commits]
            state = self.state if self.state in ("running", "stopped") else "draining"
            replace(self.home, STATUS, {
                "gateway_state": state, "active_agents": self.in_flight, "pid": os.getpid(),
                "start_time": int(start_time("self")), "kind": "python-gateway", "argv": sys.argv,
                "restart_requested": False, "exit_reason": None, "platforms": {},
                "updated_at": datetime.now(timezone.utc).isoformat(), "drain": {**drain, **moment, "holds": holds},
            })  # fmt: skip
            self.published = says, now, self.lying()
        except OSError as error:
            # No status is better than an old one.
            self.errors, self.last_error, self.published = self.errors + 1, str(error), ("", 0, None)
            with contextlib.suppress(OSError):
                os.unlink(STATUS, dir_fd=self.home)


class Turns(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
        if not gateway.admit():
            return self.send_error(503)
        try:
            self.send_response(200)
            self.end_headers()
            interrupted = gateway.interrupt.wait(asked.get("millis", 0) / 1000)
            self.wfile.write(b"interrupted\n" if interrupted else b"done\n")
        finally:
            gateway.leave()

    log_message = lambda *_: None


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    named = os.environ.get("GATEWAY_DRAIN_HOME", os.environ.get("HERMES_HOME"))
    parser.add_argument("--home", default=named, required=not named)
    parser.add_argument("--listen", default="127.0.0.1:8080")
    parser.add_argument("--tick-ms", type=int, default=1000)
    parser.add_argument("--deadline-ms", type=int, default=30000)
    options = parser.parse_args()
    told, tick = threading.Event(), options.tick_ms / 1000
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: told.set())
    gateway = Gateway(options.home, tick)
    gateway.look()  # before anything can be admitted
    host, port = options.listen.rsplit(":", 1)
    server = ThreadingHTTPServer((host, int(port)), Turns)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"listening on http://{host}:{server.server_port}", flush=True)
    while not told.wait(tick):
        gateway.look()
    # The shutdown: until the deadline, then the interruption and its grace, then by force (9).
    deadline = since_boot() + options.deadline_ms / 1000
    with gateway.books:
        gateway.move("shutdown_draining")
    while not gateway.drained() and since_boot() < deadline + 5:
        if since_boot() >= deadline:
            gateway.interrupt.set()
        gateway.look()
        time.sleep(min(tick, 0.05))
    with gateway.books:
        gateway.move("stopped")
    gateway.look()
    sys.exit(3 if gateway.in_flight else 0)
