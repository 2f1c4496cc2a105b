#!/usr/bin/env python3
"""Holds gateway.py and controller.py to the test vectors of the specification.

    vectors.py [docs/spec/vectors]

The gateway runs in this process, with a clock that the vectors move; its files are real.
"""

import fcntl, json, os, sys, tempfile, time
from datetime import datetime, timezone

sys.dont_write_bytecode = True
import controller
import gateway

WRITTEN = 1_780_000_000
PATHS = {"marker": gateway.MARKER}
with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
    EPOCH = boot.read().strip() + ":" + gateway.start_time(1)
wrong, counted = [], 0


def cases(name):
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../../docs/spec/vectors")
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)["cases"]


def compare(case, found):
    global counted
    counted += 1
    if found != case["expect"]:
        wrong.append(f"{case['id']}: expected {json.dumps(case['expect'])}, found {json.dumps(found)}")


def content(value):
    """A text, a list of bytes, or a list of texts with how often each stands there."""
    if isinstance(value, str):
        return value.encode()
    if all(isinstance(part, int) for part in value):
        return bytes(value)
    return b"".join((text * times).encode() for text, times in value)


def path(home, hold):
    return os.path.join(home, PATHS.get(hold) or f".drain_holds/{hold}.json")


def request(case):
    """One file, as the gateway reads it."""
    with tempfile.TemporaryDirectory() as home:
        os.mkdir(os.path.join(home, ".drain_holds"))
        where = path(home, case["hold"] or "marker")
        with open(where, "wb") as file:
            file.write(content(case["content"]))
        os.utime(where, ns=(0, WRITTEN * 10**9 + 7))
        folder = os.open(os.path.dirname(where), os.O_RDONLY)
        real, time.time = time.time, lambda: WRITTEN + 100 + 7e-9
        try:
            found = gateway.find(folder, os.path.basename(where), case["epoch"], marker=not case["hold"])
        finally:
            time.time = real
            os.close(folder)
    if found["action"] is None:
        return {"found": "unreadable", "nonce": found["nonce"]}
    if found["action"] == "stale":
        return {"found": "stale", "nonce": found["nonce"]}
    number = lambda name: found[name] or None
    return {
        "found": "valid", "action": found["action"], "principal": found["principal"], "reason": found["reason"],
        "ticket": found["ticket"],
        "lease_seconds": number("lease_seconds"), "deadline_seconds": number("deadline_seconds"),
        "unready_delay_seconds": found["unready_delay_seconds"], "suppress_notification": found["suppress_notification"],
        "incarnation": found["incarnation"] or None, "generation": found["generation"], "token": found["token"] or None,
        "nonce": found["nonce"], "age_seconds": found["age"] if found["age"] >= 0 else None,
    }  # fmt: skip


def names(case):
    """The holds that a look finds where a file has this name."""
    with tempfile.TemporaryDirectory() as home:
        run = Run(home)
        run.start()
        with open(os.fsencode(home) + b"/.drain_holds/" + content(case["file"]), "w", encoding="utf-8") as file:
            file.write('{"action": "drain"}')
        run.running.look()
        found = sorted(run.running.holds)
        run.end("kill")
    return found


def near(one, other):
    """The same, but for what a clock in floating point loses."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return all(near(one[name], other[name]) for name in one)
    if isinstance(one, (int, float)) and isinstance(other, (int, float)) and not isinstance(one, bool):
        return abs(one - other) < 1e-5 * max(1, abs(one) * 1e-6)
    return one == other


def strip(path):
    """Leaves in a status only the fields that every implementation knows."""
    with open(path, encoding="utf-8") as file:
        status = json.load(file)
    drain = status["drain"]
    for fields in [drain, *drain["holds"], *drain["acknowledged"]]:
        for name in [name for name in fields if name == "takeover" or name.startswith("x-")]:
            del fields[name]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(status, file)


class Run:
    """A gateway in a home of its own."""

    def __init__(self, home):
        self.home, self.now, self.running, self.earlier, self.deadline, self.writes = home, 1000.0, None, "", None, 0
        os.mkdir(os.path.join(home, ".drain_holds"), 0o700)
        gateway.since_boot = lambda: self.now

    def start(self):
        if not self.running:
            self.running, self.deadline = gateway.Gateway(self.home, 1), None
            self.running.look()

    def stopped(self):
        """What the program does between two looks once it shuts down."""
        gone, over = self.running.drained(), self.deadline is not None and self.now >= self.deadline + 5
        if self.deadline is not None and self.running.state != "stopped" and (gone or over):
            self.running.move("stopped")

    def end(self, how):
        if how == "stop" and self.running.state != "stopped":
            self.running.move("shutdown_draining")
            self.deadline = self.now
            self.shows()
        self.earlier = self.running.incarnation
        os.close(self.running.lock)
        os.close(self.running.home)
        self.running = None

    def named(self, text):
        incarnation = self.running.incarnation if self.running else ""
        hour_ago = datetime.fromtimestamp(time.time() - 3600, timezone.utc).isoformat()
        text = text.replace("$incarnation", incarnation).replace("$earlier", self.earlier)
        return text.replace("$epoch", EPOCH).replace("$an_hour_ago", hour_ago)

    def replace(self, hold, text):
        aside = os.path.join(self.home, ".aside")
        with open(aside, "w", encoding="utf-8") as file:
            file.write(self.named(text))
        self.writes += 1
        os.utime(aside, ns=(0, WRITTEN * 10**9 + self.writes))
        os.rename(aside, path(self.home, hold))

    def do(self, what, how):
        if what == "start":
            self.start()
        elif what == "end":
            self.end(how)
        elif what == "advance_seconds":
            self.now += how
        elif what == "admit":
            if not self.running.admit():
                raise AssertionError("it runs")
        elif what == "finish":
            self.running.leave()
        elif what == "write":
            for hold, asked in how.items():
                self.replace(hold, json.dumps(asked))
        elif what == "put":
            for hold, text in how.items():
                self.replace(hold, content(text).decode())
        elif what == "remove":
            for hold in how:
                os.unlink(path(self.home, hold))
        elif what == "lose":
            for name in how:
                os.unlink(os.path.join(self.home, name))
        elif what == "spoil":
            for name in how:
                with open(os.path.join(self.home, name), "w", encoding="utf-8") as file:
                    file.write("{")
        elif what == "strip":
            for name in how:
                strip(os.path.join(self.home, name))
        elif what == "shutdown_seconds":
            self.running.move("shutdown_draining")
            self.deadline = self.now + how
        else:
            raise ValueError(what)

    def shows(self):
        self.running.look()
        self.stopped()
        self.running.look()
        with open(os.path.join(self.home, gateway.STATUS), encoding="utf-8") as file:
            status = json.load(file)
        drain, order = status["drain"], lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"))
        admits = self.running.admit()
        if admits:
            self.running.leave()
        rounded = lambda left: None if left is None else float(round(left))
        holds = [{"request_id": hold["request_id"], "owner": hold["owner"], "committed": hold["committed"],
                  "pending": hold["pending"], "lease_left": rounded(hold["lease_left_seconds"]),
                  "overdue": hold["overdue"], "token": hold["token"], "age": rounded(hold["age_seconds"]),
                  "bound": hold["bound"], "overwritten": hold["overwritten"]} for hold in drain["holds"]]  # fmt: skip
        answers = [{name: value for name, value in entry.items() if value is not None or name == "nonce"}
                   for entry in drain["acknowledged"]]  # fmt: skip
        return {
            "gateway_state": status["gateway_state"], "state": drain["state"], "generation": drain["generation"],
            "in_flight": drain["in_flight"], "drained": drain["drained"], "pending": drain["pending"],
            "suppress_notification": drain["suppress_notification"], "active_agents": status["active_agents"],
            "holds": sorted(holds, key=order),
            "acknowledged": sorted(answers, key=order), "admits": admits,
            "ignored": sorted(([entry["request_id"], entry["kind"]] for entry in drain["ignored"]), key=order),
        }  # fmt: skip


def looks(case):
    with tempfile.TemporaryDirectory() as home:
        run, found = Run(home), []
        try:
            for step in case["steps"]:
                for act in step["do"]:
                    for what, how in act.items():
                        run.do(what, how)
                run.start()
                found.append(run.shows())
        finally:
            if run.running:
                run.end("kill")
        return found


def conclusions(case):
    """Each status with its lock, as the controller sees it."""
    with tempfile.TemporaryDirectory() as home:
        hold = controller.Hold(home, case["hold"], "ops")
        found = [conclusion(home, hold, look, case["nonces"]) for look in case["looks"]]
    return found


def conclusion(home, hold, look, nonces):
    here = {"$pid": str(os.getpid()), "$start": gateway.start_time("self"), "$epoch": EPOCH}
    here["$namespace"] = str(os.stat("/proc/self/ns/pid").st_ino)

    def put(name, text):
        for word, value in here.items():
            text = text.replace(word, value)
        with open(os.path.join(home, name), "w", encoding="utf-8") as file:
            file.write(text)

    for name in (gateway.LOCK, gateway.STATUS):
        if os.path.exists(os.path.join(home, name)):
            os.unlink(os.path.join(home, name))
    if look["lock"] is not None:
        put(gateway.LOCK, look["lock"])
    status = look["status"]
    if isinstance(status, dict) and "age_seconds" in look:
        status["drain"]["clock_millis"] = int((time.clock_gettime(time.CLOCK_BOOTTIME) - look["age_seconds"]) * 1000)
    if status is not None:
        put(gateway.STATUS, status if isinstance(status, str) else json.dumps(status))
    locked = look["locked"] and open(os.path.join(home, gateway.LOCK), encoding="utf-8")
    if locked:
        fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        return hold.conclude(nonces)[0]
    finally:
        if locked:
            locked.close()


for case in cases("requests.json"):
    found = request(case)
    compare(case, case["expect"] if near(found, case["expect"]) else found)
for case in cases("names.json"):
    compare(case, names(case))
for case in cases("epochs.json"):
    compare(case, {"stale": bool(case["file"] and gateway.other_boot(case["file"], case["gateway"]))})
for case in cases("looks.json"):
    compare(case, looks(case))
for case in cases("conclusions.json"):
    compare(case, conclusions(case))
for line in wrong:
    print(line, file=sys.stderr)
print(f"{counted - len(wrong)} passed, {len(wrong)} failed")
sys.exit(bool(wrong))
