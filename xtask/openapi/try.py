"""Waits for a shop to start, and runs Schemathesis against its API: as a shopper or as an owner."""

import json
import subprocess
import sys
import time
import urllib.request

url, schemathesis, lockstep, data, role = sys.argv[1:6]


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


deadline = time.monotonic() + 120
while True:
    try:
        # Requests that add to a cart need a game.
        if ask("/readyz")["ready"] and ask("/api/games?pageSize=1")["data"]["total"] > 0:
            break
    except OSError:
        pass
    if time.monotonic() > deadline:
        sys.exit(f"the shop at {url} does not open")
    time.sleep(0.2)


def token_of(role):
    """Makes an account and signs it in."""
    account = {"email": "quill@example.org", "password": "Correct-Horse-1"}
    if role == "owner":
        made = subprocess.run(
            [lockstep, "admin", "create", "--json", "--data-dir", data, account["email"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        )
        account["password"] = json.loads(made.stdout)["password"]
    else:
        ask("/api/auth/register", account)
    return ask("/api/auth/login", account)["data"]["token"]


# A shopper sees all operations, staff's ones refused; an owner staff's ones, without those that begin jobs: these would go on
# beside the rest.
owners = ["--include-path-regex=^/api/admin/", "--exclude-path-regex=^/api/admin/scripts/"]
which = owners if role == "owner" else []
sys.exit(
    subprocess.run(
        [
            schemathesis,
            "run",
            "openapi.json",
            f"--url={url}",
            f"--header=Authorization: Bearer {token_of(role)}",
            "--seed=1",
            "--max-examples=5",
            "--phases=examples,coverage,fuzzing",
            "--no-color",
            *which,
        ]
    ).returncode
)
