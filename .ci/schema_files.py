"""Holds the schemas of the specification to the tools, both ways.

    schema_files.py GATEWAY_DRAIN HOME

GATEWAY_DRAIN is the command line's program, and a gateway of this crate runs in HOME. What the tools write, the schemas take;
and each request that the request's schema makes is taken by the gateway as it stands there.
"""

import json, os, pathlib, random, re, subprocess, sys, time

from jsonschema import Draft202012Validator, FormatChecker

tool, home = sys.argv[1], pathlib.Path(sys.argv[2])
folder = pathlib.Path(__file__).parent.parent / "docs/spec/schema"
schemas = {name: json.loads((folder / f"{name}.schema.json").read_text()) for name in ("request", "status")}
validators = {name: Draft202012Validator(schema, format_checker=FormatChecker()) for name, schema in schemas.items()}
seen = {"request": 0, "status": 0, "made": 0}


def takes(name, path):
    validators[name].validate(json.loads(path.read_text()))
    seen[name] += 1


def status():
    path = home / "gateway_state.json"
    takes("status", path)
    return json.loads(path.read_text())["drain"]


def run(*arguments):
    subprocess.run([tool, "--home", home, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answer(hold, nonce):
    """The gateway's answer to this write."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        drain = status()
        for entry in drain["acknowledged"]:
            if (entry["request_id"], entry["nonce"]) == (hold, nonce):
                return entry, next((held for held in drain["holds"] if held["request_id"] == hold), None)
        time.sleep(0.01)
    raise AssertionError(f"no answer to {nonce}")


# docs/spec/schema/lock.abnf
assert re.fullmatch(rb"[!-~]{1,256} \d{1,10} (\d{1,20}|-) (\d{1,20}|-)\n", (home / ".drain.lock").read_bytes())
file = home / ".drain_holds/a.json"
for arguments in (["begin", "a", "--reason", "why"], ["renew", "a"], ["commit", "a"], ["cancel", "a"]):
    if arguments[0] == "cancel":
        run(*arguments)
    else:
        run(*arguments)
        takes("request", file)
    status()
run("begin", "--marker")
takes("request", home / ".drain_request.json")
status()
run("cancel", "--marker")


def write(name, request):
    aside = home / ".aside"
    aside.write_text(json.dumps(request))
    os.rename(aside, home / f".drain_holds/{name}.json")


draw = random.Random(1)
CHARACTERS = "abz09 ._-!{}'\"\\/\u00fc\u202e\u0000\u001b\n\U0001f600"


def made(schema):
    """A value that this part of the schema takes: as often its bounds as something between them."""
    if "enum" in schema:
        return draw.choice(schema["enum"])
    if "pattern" in schema:
        return "id"
    if schema["type"] == "string":
        least, most = schema.get("minLength", 0), schema.get("maxLength", 40)
        return "".join(draw.choices(CHARACTERS, k=draw.choice([least, most, draw.randint(least, most)])))
    if schema["type"] == "boolean":
        return draw.random() < 0.5
    least, most = schema["minimum"], schema["maximum"]
    between = draw.randint(least, most) if schema["type"] == "integer" else draw.uniform(least, most)
    return draw.choice([least, most, between])


def is_taken_as_it_stands_there(request):
    seen["made"] += 1
    name, nonce = f"made-{seen['made']}", f"made-{seen['made']}-0123456789"
    # Which write it is, and that it is of this boot and for this process, is the test's.
    request = {**request, "nonce": nonce, "epoch": "", "incarnation": status()["incarnation"]}
    validators["request"].validate(request)
    write(name, request)
    entry, hold = answer(name, nonce)
    if request["action"] == "drain":
        assert entry["outcome"] == ("pending" if request.get("unready_delay_seconds") else "held"), (request, entry)
        assert hold["owner"] == request.get("principal", ""), (request, hold)
        assert hold["reason"] == request.get("reason", ""), (request, hold)
        assert abs(hold["lease_left_seconds"] - request.get("lease_seconds", 3600)) < 10, (request, hold)
        assert hold["suppress_notification"] == request.get("suppress_notification", False), (request, hold)
        assert abs((hold["deadline_seconds"] or 0) - request.get("deadline_seconds", 0)) < 0.001, (request, hold)
    else:
        wanted = {"commit": ("refused", "not_held"), "cancel": ("ended", "withdrawn"), "override": ("ended", "overridden")}
        assert (entry["outcome"], entry["why"]) == wanted[request["action"]], (request, entry)
    (home / f".drain_holds/{name}.json").unlink()


properties = schemas["request"]["properties"]
for _ in range(150):
    names = [name for name in properties if name == "action" or draw.random() < 0.5]
    request = {name: made(properties[name]) for name in names if name != "requested_at"}
    if request["action"] == "commit":
        request.setdefault("generation", 0)
    # Long enough that it is seen before its lease is over.
    if "lease_seconds" in request:
        request["lease_seconds"] = max(request["lease_seconds"], 10)
    is_taken_as_it_stands_there(request)
print(f"the schemas take {seen['request']} requests and {seen['status']} statuses; the gateway takes {seen['made']} requests of the schema")
