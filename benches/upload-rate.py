"""Runs `mini deploy` and prints how fast the server took its folder in, and the peak memory of client and server.

usage: upload-rate.py SERVER_PID COMMAND...
"""

import os
import pathlib
import subprocess
import sys
import time

# What deploy.sh writes; the Dockerfile has to fit into 1 GiB too.
FOLDER_BYTES = 16 * (63 << 20)
DEADLINE_SECONDS = 600


def peak_mib(pid):
    """The most memory that a process ever had resident (proc(5), VmHWM)."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the kernel tells no VmHWM")


def main():
    server, command = int(sys.argv[1]), sys.argv[2:]
    # "5" starts the mark of the server's peak anew (proc(5), clear_refs).
    pathlib.Path(f"/proc/{server}/clear_refs").write_text("5")
    begun = time.monotonic()
    client = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    taken, said = None, []
    for line in client.stderr:
        said.append(line)
        if line.startswith("[1/3]") and "done" in line:
            taken = time.monotonic() - begun
            client_mib, server_mib = peak_mib(client.pid), peak_mib(server)
            break
    if taken is None:
        raise SystemExit("the folder was never taken in:\n" + "".join(said))
    client.stderr.read()
    client.wait(DEADLINE_SECONDS)
    whole = time.monotonic() - begun
    rate = FOLDER_BYTES / taken / 1e6
    print(
        f"{rate:.0f} MB/s (wanted: at least 250), client {client_mib:.0f} MiB (< 30), server {server_mib:.0f} MiB (< 64),"
        f" {max(server_mib, peak_mib(server)):.0f} MiB to the end after {whole:.1f} s"
    )


if __name__ == "__main__":
    main()
