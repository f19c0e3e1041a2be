#!/usr/bin/env python3
"""Runs a command with a proxy in front of `alft serve`, and writes the requests that the command sends.

    ALFT_URL=http://127.0.0.1:8765 python tests/serve/record.py recorded/NAME.json COMMAND…

The command finds the proxy in ALFT_URL. A request is `{"method", "path", "headers", "body"}`: headers in lower case,
without those of a machine or connection, and the body as JSON, or as text where it is none. An idempotency key is replaced
by `recorded-N`, N for each key in order, so that a repetition is seen as one. At most `--most` requests are written, and
those to `/readyz`, `/healthz` and `/metrics` are left out.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

KEPT = ("accept", "authorization", "content-type", "idempotency-key")
LEFT_OUT = ("/readyz", "/healthz", "/metrics")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=20)
    parser.add_argument("out", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    upstream = urlsplit(os.environ.get("ALFT_URL", "http://127.0.0.1:8765"))
    requests, keys, lock = [], {}, threading.Lock()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                if self.path not in LEFT_OUT:
                    requests.append(recorded(self.command, self.path, headers, body, keys))
            connection = http.client.HTTPConnection(upstream.hostname, upstream.port)
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "content-length", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = forward

        def log_message(self, *_):
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{proxy.server_address[1]}"
    run = subprocess.run(args.command, env={**os.environ, "ALFT_URL": address}, check=False)
    lines = ",\n".join(json.dumps(request, ensure_ascii=False) for request in requests[: args.most])
    args.out.write_text(f"[\n{lines}\n]\n")
    print(f"{args.out}: {min(len(requests), args.most)} of {len(requests)} requests")
    sys.exit(run.returncode)


def recorded(method, path, headers, body, keys):
    kept = {name: headers[name] for name in KEPT if name in headers}
    if "idempotency-key" in kept:
        kept["idempotency-key"] = keys.setdefault(kept["idempotency-key"], f"recorded-{len(keys) + 1}")
    try:
        content = json.loads(body) if body else None
    except ValueError:
        content = body.decode(errors="replace")
    return {"method": method, "path": path, "headers": kept, "body": content}


if __name__ == "__main__":
    main()
