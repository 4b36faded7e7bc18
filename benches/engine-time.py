"""Prints the milliseconds of image build + create + start + first good answer, straight through the engine's API.

Usage: engine-time.py buildkit|classic FOLDER. What it makes is removed again, outside of the time.
"""

import http.client
import io
import json
import os
import socket
import sys
import tarfile
import time

LABEL = {"mini.bench": "api"}
PORT = 5000


class Engine(http.client.HTTPConnection):
    """One kept connection to the engine's socket."""

    def __init__(self):
        super().__init__("engine")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))

    def call(self, method, path, body=None, kind="application/json", missing_is_fine=False):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.request(method, path, data, {"Content-Type": kind})
        answer = self.getresponse()
        text = answer.read()
        if answer.status >= 300 and not (missing_is_fine and answer.status == 404):
            sys.exit(f"{method} {path}: {answer.status} {text.decode()}")
        return text


def pack(folder):
    out = io.BytesIO()
    # BuildKit takes a tar that begins with a PAX header for a Dockerfile.
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, arcname=".")
    return out.getvalue()


def main(builder, folder):
    engine = Engine()
    name = f"mini-bench-api-{os.getpid()}"
    context = pack(folder)
    network = json.loads(engine.call("POST", "/networks/create", {"Name": name, "Labels": LABEL}))["Id"]
    try:
        begun = time.perf_counter()
        release(engine, name, builder, context)
        print(f"{(time.perf_counter() - begun) * 1000:.1f}")
    finally:
        for path in (f"/containers/{name}?force=1&v=1", f"/images/{name}?force=1", f"/networks/{network}"):
            engine.call("DELETE", path, missing_is_fine=True)


def release(engine, name, builder, context):
    version = 2 if builder == "buildkit" else 1
    log = engine.call("POST", f"/build?version={version}&t={name}&rm=1&forcerm=1", context, "application/x-tar")
    if b'"error"' in log:
        sys.exit(log.decode())
    host = {"NetworkMode": name, "Init": True, "LogConfig": {"Type": "local"}}
    spec = {"Image": name, "Env": [f"PORT={PORT}"], "Labels": LABEL, "HostConfig": host}
    container = json.loads(engine.call("POST", f"/containers/create?name={name}", spec))["Id"]
    engine.call("POST", f"/containers/{container}/start")
    networks = json.loads(engine.call("GET", f"/containers/{container}/json"))["NetworkSettings"]["Networks"]
    wait_for_answer(networks[name]["IPAddress"])


def wait_for_answer(address):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection(address, PORT, timeout=1)
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.001)
    sys.exit("no answer within 20 s")


main(*sys.argv[1:])
