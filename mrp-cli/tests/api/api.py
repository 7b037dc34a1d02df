#!/usr/bin/env python3
"""Every operation of the OpenAPI document, tried by schemathesis against a real `mrp serve` whose BMCs answer.

    python3 mrp-cli/tests/api/api.py --mrp target/debug/mrp --farm target/debug/examples/sim_farm

For an admin and for a user, each with a server of its own: no answer is a fault (5xx) or outside the document, wrong
requests are refused, right ones are taken, and nothing is done without a token. Each operation has to have succeeded at
least once. `hooks.py` gives requests the names and ids that exist, and tells which failures are none, and why.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

sys.dont_write_bytecode = True

from server import Server

HERE = Path(__file__).resolve().parent

# Operations that schemathesis does not ask, each with the reason.
EXCLUDED = {
    "get_api": "leads elsewhere; schemathesis would judge the page it leads to",
    "get_api_root": "leads elsewhere",
    "get_old_docs": "leads elsewhere",
    "get_old_openapi": "leads elsewhere",
    "attach_console": "a WebSocket",
    "log_out": "ends the token that asks; api.py logs out itself, once and again",
}

def main():
    """Runs both roles; the exit code tells how it went."""
    parser = argparse.ArgumentParser(description="schemathesis over mrp's OpenAPI document")
    parser.add_argument("--mrp", required=True, type=Path, help="the program under test")
    parser.add_argument("--farm", required=True, type=Path, help="the simulated BMCs: mrp-bmc's example sim_farm")
    parser.add_argument("--seconds", type=int, default=100, help="how long each role is tried")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run; by default another one each time")
    parser.add_argument("--only", action="append", default=[], help="only this operation; may be repeated")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"api: seed {seed}; --seed {seed} repeats this run", flush=True)
    schemathesis = install(arguments.mrp.resolve().parent.parent / "api" / "venv")
    seen, failed = {}, []
    for role in ("admin", "user"):
        folder = Path(tempfile.mkdtemp(prefix=f"mrp-api-{role}-"))
        code = try_role(role, schemathesis, arguments, seed, folder, seen)
        if code:
            failed.append(f"{role}: {code}; everything is in {folder}")
        else:
            shutil.rmtree(folder)
    if not arguments.only:
        failed.extend(never_succeeded(seen))
    for line in failed:
        print(f"api: {line}")
    statuses = sum(sum(by_status.values()) for by_status in seen.values() if isinstance(by_status, dict))
    print("api: not asked: " + "; ".join(f"{name} ({why})" for name, why in EXCLUDED.items()))
    print(f"api: {statuses} answers of {len(seen)} operations", flush=True)
    sys.exit(1 if failed else 0)


def install(folder):
    """schemathesis, in a virtual environment; installed again when requirements.txt changes."""
    wanted, mark = (HERE / "requirements.txt").read_text(), folder / "installed"
    if not mark.exists() or mark.read_text() != wanted:
        print("api: installing schemathesis from PyPI", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        subprocess.run(
            [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
             "-r", HERE / "requirements.txt"],
            check=True,
        )
        mark.write_text(wanted)
    return folder / "bin/schemathesis"


def try_role(role, schemathesis, arguments, seed, folder, seen):
    """One role from a new server to its end; what went wrong, or None."""
    with Server(arguments.mrp, arguments.farm, folder) as server:
        lab = server.seed()
        (folder / "lab.json").write_text(json.dumps(lab))
        (folder / "schemathesis.toml").write_text(f'hooks = "{HERE / "hooks.py"}"\n')
        document = server.get("/api/v1/openapi.json")
        seen.setdefault("get_openapi", {"200": 0})["200"] += 1  # schemathesis reads it, and does not try it
        operations = {
            operation["operationId"]: operation
            for path in document["paths"].values()
            for operation in path.values()
        }
        streams = {name for name, operation in operations.items() if is_stream(operation)}
        for name in streams:
            seen.setdefault(name, {})
        excluded = (set(EXCLUDED) & set(operations)) | streams
        for name in set(operations) - excluded:
            seen.setdefault(name, {})
        command = [
            schemathesis, "--config-file", folder / "schemathesis.toml", "run", f"{server.url}/api/v1/openapi.json",
            "--checks", "all", "--seed", seed, "--max-time", arguments.seconds, "--continue-on-failure",
            "--request-timeout", "20", "--suppress-health-check", "all", "--header",
            f"Authorization: Bearer {lab['tokens'][role]}", "--warnings", "off",
        ]
        if arguments.only:
            for name in arguments.only:
                command += ["--include-operation-id", name]
        else:
            for name in sorted(excluded):
                command += ["--exclude-operation-id", name]
        environment = dict(
            os.environ, MRP_API_LAB=str(folder / "lab.json"), MRP_API_ROLE=role, MRP_API_SEEN=str(folder / "seen.json"),
            NO_COLOR="1", PYTHONDONTWRITEBYTECODE="1",
        )
        print(f"api: as {role}, for {arguments.seconds} s", flush=True)
        started = time.monotonic()
        log = folder / "schemathesis.log"
        with log.open("wb") as out:
            code = subprocess.call([str(word) for word in command], env=environment, stdout=out, stderr=out, cwd=folder)
        count(folder / "seen.json", seen)
        print(f"api: as {role}: {time.monotonic() - started:.0f} s, {summary(log)}", flush=True)
        for name in sorted(streams):
            if not arguments.only and server.first_event(operations_path(document, name), lab["tokens"]["admin"]):
                seen[name]["200"] = seen[name].get("200", 0) + 1
        server.check_log_out(lab["tokens"][role])
        faults = server.faults()
        if faults:
            return f"the server's log has {faults}"
        if code:
            print(log.read_text()[-60_000:], flush=True)
            return f"schemathesis ended with {code}"
        return None


def is_stream(operation):
    """True for a stream of events, which has no end that could be waited for; api.py reads its beginning itself."""
    return any("text/event-stream" in answer.get("content", {}) for answer in operation["responses"].values())


def operations_path(document, name):
    """The path of an operation."""
    return next(path for path, methods in document["paths"].items()
                if any(operation["operationId"] == name for operation in methods.values()))


def count(path, seen):
    """Adds the statuses that the hooks wrote down."""
    if path.exists():
        for name, by_status in json.loads(path.read_text()).items():
            known = seen.setdefault(name, {})
            for status, times in by_status.items():
                known[status] = known.get(status, 0) + times


def never_succeeded(seen):
    """Operations without a 2xx from any role."""
    return [
        f"{name} never succeeded: {by_status}"
        for name, by_status in sorted(seen.items())
        if not any(status.startswith("2") for status in by_status)
    ]


def summary(log):
    """The last line of schemathesis' output that says something."""
    lines = [line.strip("= \n") for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "no output")


if __name__ == "__main__":
    main()
