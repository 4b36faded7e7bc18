#!/usr/bin/env python3
"""handshakes.py PORT SECONDS: full TLS 1.3 handshakes with 127.0.0.1:PORT, one after the other; prints {"requests": how many}."""

import socket
import ssl
import sys
import time

port, seconds = int(sys.argv[1]), float(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

done, errors, end = 0, 0, time.monotonic() + seconds
while time.monotonic() < end and errors < 100:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
            context.wrap_socket(stream, server_hostname="app0.test").close()
        done += 1
    except OSError:
        errors += 1
print(f'{{"requests":{done},"errors":{errors}}}')
