"""E4 on the real thing: real gateways and controllers, an etcd of three members, faults, and an observer that trusts nobody.

A member is killed, stopped (SIGSTOP), or cut off: every connection from a controller or another member goes through a proxy
here, which then passes nothing on and accepts nothing. What a member that is cut off sends itself still arrives.
Controllers are killed (SIGKILL) at a random moment, and their operator comes back for the same gateway, as often as it takes.
The act kills the gateway's process; a supervisor starts another one.

The observer reads what each gateway publishes and whether its process lives, and never etcd. A gateway that is closed in the
same way (process, incarnation, drain) in two sweeps was closed from the end of the first to the beginning of the second: so
what it counts was closed at one moment, and no count is too high.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROLLS, LIMIT = 200, 220.0
GROUPS = {"one": (1, 3), "another": (1, 3), "two": (2, 4)}
"""For each group its budget and how many gateways it has."""
OPERATORS = 3
"""For each group."""

over = threading.Event()
failures: list[str] = []
counts = {"rolls": 0, "controllers killed": 0, "members killed": 0, "stopped": 0, "cut off": 0, "sweeps": 0}
most = {group: 0 for group in GROUPS}
counting = threading.Lock()


def count(what: str) -> int:
    with counting:
        counts[what] += 1
        return counts[what]


def fail(why: str) -> None:
    failures.append(why)
    over.set()


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Proxy:
    """Passes on what comes to a port, unless it is cut."""

    def __init__(self, to: int) -> None:
        self.to, self.cut = to, False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.pairs: set[tuple[socket.socket, socket.socket]] = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            near, _ = self.listener.accept()
            if self.cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.to), timeout=2)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self.pairs.add((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink, (near, far)), daemon=True).start()

    def pump(self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        try:
            while data := source.recv(65536):
                while self.cut:
                    # What is under way when it is cut arrives late, if the connection lives so long.
                    time.sleep(0.02)
                sink.sendall(data)
        except OSError:
            pass
        self.pairs.discard(pair)
        for each in pair:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Member:
    """One of three, whose clients and peers reach it through proxies."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name, self.folder = f"m{number}", folder / f"m{number}"
        self.ports = free_ports(2)
        self.proxies = [Proxy(port) for port in self.ports]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, members: "list[Member]") -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in self.ports)
        through = f"http://127.0.0.1:{self.proxies[1].port}"
        cluster = ",".join(f"{other.name}=http://127.0.0.1:{other.proxies[1].port}" for other in members)
        command = ["etcd", "--name", self.name, "--data-dir", str(self.folder), "--logger", "zap", "--log-level", "fatal"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", through, "--initial-cluster", cluster]
        command += ["--heartbeat-interval", "50", "--election-timeout", "500"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, **quiet)

    def signal(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()


class Gateway:
    """A home, the process that runs there, and who starts the next one."""

    def __init__(self, group: str, number: int, folder: Path, programs: Path) -> None:
        self.group, self.home, self.programs = group, folder / f"{group}-{number}", programs
        self.home.mkdir()
        self.number = 0
        self.process = self.spawn()
        threading.Thread(target=self.supervise, daemon=True).start()

    def spawn(self) -> subprocess.Popen[bytes]:
        command = [str(self.programs / "examples/gateway"), "--home", str(self.home), "--open"]
        command += ["--listen", "127.0.0.1:0", "--tick-ms", "20"]
        log = open(f"{self.home}.log", "ab")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        (self.home.parent / f"{self.home.name}.pid").write_text(str(process.pid))
        return process

    def supervise(self) -> None:
        while True:
            self.process.wait()
            if over.is_set():
                return
            # Now and then longer than a controller has patience to be heard: so a slot that is given back too early shows.
            time.sleep(5 if random.random() < 0.15 else random.uniform(0.1, 0.5))
            self.process, self.number = self.spawn(), self.number + 1

    def closed(self) -> tuple[object, ...] | None:
        """How it is closed; none if it is open."""
        number = self.number
        try:
            status = json.loads((self.home / "gateway_state.json").read_bytes())["drain"]
        except (OSError, ValueError, KeyError):
            status = {}
        dead = self.process.poll() is not None
        if not dead and status.get("state") == "running":
            return None
        return (number, dead, status.get("incarnation"), status.get("generation"))


def observe(gateways: list[Gateway]) -> None:
    before: dict[Gateway, tuple[object, ...]] = {}
    while not over.is_set():
        now = {gateway: how for gateway in gateways if (how := gateway.closed()) is not None}
        same = [gateway for gateway, how in now.items() if before.get(gateway) == how]
        for group, (budget, _) in GROUPS.items():
            closed = [gateway.home.name for gateway in same if gateway.group == group]
            most[group] = max(most[group], len(closed))
            if len(closed) > budget:
                fail(f"E4: with a budget of {budget} these are closed at once: {', '.join(closed)}")
        before = now
        count("sweeps")
        time.sleep(0.002)


def operate(name: str, group: str, gateways: list[Gateway], engine: str, tool: str, state: Path, chance: random.Random) -> None:
    """Rolls its group's gateways in an order of its own, and comes back for each until it is done."""
    environment = {**os.environ, "GATEWAY_DRAIN_STATE": str(state / name)}
    while not over.is_set():
        for gateway in chance.sample(gateways, len(gateways)):
            hold = f"roll-{name}-{gateway.home.name}"
            where = ["--home", str(gateway.home), "--owner", name]
            act = f"kill -KILL $(cat {gateway.home}.pid); sleep {chance.uniform(0, 0.2):.2f}"
            if chance.random() < 0.05:
                act += "; exit 7"
            run = [tool, "run", *where, "--id", hold, "--lease", "5s", "--timeout", "20s", "--ready-within", "20s", "--patience", "3s"]
            run += ["--fleet-lock", engine, "--fleet-group", group, "--", "sh", "-c", act]
            while not over.is_set():
                log = open(state / f"{name}.log", "ab")
                controller = subprocess.Popen(run, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                log.close()
                try:
                    code = controller.wait(timeout=chance.uniform(0.05, 3) if chance.random() < 0.35 else 90)
                except subprocess.TimeoutExpired:
                    controller.kill()
                    controller.wait()
                    count("controllers killed")
                    code = None
                if code == 0:
                    if count("rolls") >= ROLLS:
                        over.set()
                    break
                # What it left is its owner's to end, as soon as the gateway lives to hear of it.
                cancel = [tool, "cancel", hold, *where, "--patience", "3s"]
                subprocess.run(cancel, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
                act_again = run[-1].removesuffix("; exit 7")
                run = [*run[:-1], act_again]


def break_things(members: list[Member], chance: random.Random) -> None:
    while not over.wait(chance.uniform(0.1, 0.8)):
        victims = chance.sample(members, 2 if chance.random() < 0.2 else 1)
        how, lasts = chance.choice(["members killed", "stopped", "cut off"]), chance.uniform(0.3, 2)
        for member in victims:
            count(how)
            if how == "members killed":
                member.kill()
            elif how == "stopped":
                member.signal(signal.SIGSTOP)
            else:
                for proxy in member.proxies:
                    proxy.cut = True
        over.wait(lasts)
        for member in victims:
            if how == "members killed":
                member.start(members)
            member.signal(signal.SIGCONT)
            for proxy in member.proxies:
                proxy.cut = False


def main() -> None:
    programs = Path(sys.argv[1]).resolve()
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    # What was started is ended, by whatever signal this script ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    began, chance = time.monotonic(), random.Random(seed)
    tool = str(programs / "gateway-drain")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        members = [Member(number, folder) for number in range(3)]
        for member in members:
            member.start(members)
        engine = "etcd://" + ",".join(f"127.0.0.1:{member.proxies[0].port}" for member in members)
        gateways = []
        try:
            for group, (budget, number) in GROUPS.items():
                set_slots = [tool, "fleet", "--fleet-lock", engine, "set-slots", group, str(budget)]
                while subprocess.run(set_slots, capture_output=True, check=False, timeout=60).returncode != 0:
                    if time.monotonic() - began > 60:
                        sys.exit("etcd can't be reached")
                    time.sleep(0.2)
                gateways += [Gateway(group, each, folder, programs) for each in range(number)]
            while any(gateway.closed() for gateway in gateways):
                time.sleep(0.05)
            watches = threading.Thread(target=observe, args=(gateways,))
            works = [threading.Thread(target=break_things, args=(members, random.Random(chance.random())))]
            for group in GROUPS:
                its = [gateway for gateway in gateways if gateway.group == group]
                for each in range(OPERATORS):
                    rest = (f"{group}{each}", group, its, engine, tool, folder, random.Random(chance.random()))
                    works.append(threading.Thread(target=operate, args=rest))
            for thread in [watches, *works]:
                thread.start()
            over.wait(LIMIT - (time.monotonic() - began))
            if not over.is_set():
                fail(f"only {counts['rolls']} rolls in {LIMIT:.0f} s")
            for thread in [watches, *works]:
                thread.join()
        finally:
            over.set()
            for member in members:
                member.signal(signal.SIGCONT)
            for gateway in gateways:
                gateway.process.kill()
                gateway.process.wait()
            for member in members:
                member.kill()
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    print("closed at once: " + ", ".join(f"{most[group]} of {budget} in «{group}»" for group, (budget, _) in GROUPS.items()))
    idle = [what for what, number in counts.items() if number == 0] + [group for group, number in most.items() if number == 0]
    if not failures and idle:
        failures.append(f"this run shows nothing of: {', '.join(idle)}")
    if failures:
        sys.exit("\n".join(failures))
    print(f"the budgets were kept, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
