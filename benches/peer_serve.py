#!/usr/bin/env python3
"""Measures `alft serve` with the plugin math beside a FastAPI server with Math-Verify, the usual verifier of mathematics.

    python benches/peer_serve.py --alft target/release/alft --component alft_math.wasm --load target/release/deps/load-…

Both servers get bundles of eight answers from 64 connections of one load generator (host/serve/benches/load.rs, built by
`cargo bench -p alft-serve --no-run`), which shares the machine with them. Every sixteenth bundle has a hostile answer. The
Python server has as many workers as the machine has cores, and gives Math-Verify five seconds for an answer, its own default.
FastAPI, uvicorn and Math-Verify are installed from PyPI into a folder of their own. Prints the requests a second, the times of
answers, and the memory of alft, which is looked at after each quarter of the requests.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

CASES = Path(__file__).resolve().parent.parent / "plugins/math/tests/data/math_answers.jsonl"
PACKAGES = ["fastapi", "uvicorn", "math-verify==0.9.0"]
CONNECTIONS = 64

SERVER = '''
from fastapi import FastAPI
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

app = FastAPI()
settings = [LatexExtractionConfig(), ExprExtractionConfig()]


def score(gold, completion):
    return float(verify(gold, parse(completion, settings)))


# On the event loop of the process: Math-Verify's time limit needs the main thread.
@app.post("/v1/score")
async def scores(body: dict):
    results = []
    for question in body["questions"]:
        gold = parse(question["gold"], settings)
        results.append({"id": question["id"], "rewards": [score(gold, text) for text in question["completions"]]})
    return {"results": results}
'''


def wait_for(address):
    for _ in range(600):
        try:
            return urllib.request.urlopen(f"http://{address}/openapi.json", timeout=2).read()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing answers at {address}")


def memory_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def load(arguments, address, requests):
    command = [arguments.load, address, "/v1/score", str(requests), str(CONNECTIONS), str(CASES)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--alft", required=True)
    arguments.add_argument("--component", required=True)
    arguments.add_argument("--load", required=True)
    arguments.add_argument("--requests", type=int, default=10_000)
    arguments.add_argument("--python-requests", type=int, default=400)
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run = folder / "serve.toml"
        run.write_text(f'output = "out"\n[serve]\nlisten = "127.0.0.1:8771"\n[[plugin]]\nname = "math"\n'
                       f'path = "{Path(arguments.component).resolve()}"\n')
        server = subprocess.Popen([Path(arguments.alft).resolve(), "serve", str(run)], cwd=folder, stderr=subprocess.DEVNULL)
        try:
            wait_for("127.0.0.1:8771")
            load(arguments, "127.0.0.1:8771", 256)
            memory, parts = [memory_mib(server.pid)], []
            for _ in range(4):
                parts.append(load(arguments, "127.0.0.1:8771", arguments.requests // 4))
                memory.append(memory_mib(server.pid))
        finally:
            server.terminate()
            server.wait()
        print("alft serve   ", json.dumps(parts), f"memory after each quarter {memory} MiB")
        alft = sum(part["requests"] for part in parts) / sum(part["seconds"] for part in parts)

        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv/bin/python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / "server.py").write_text(SERVER)
        command = [python, "-m", "uvicorn", "server:app", "--port", "8772", "--workers", str(os.cpu_count()), "--log-level", "critical"]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for("127.0.0.1:8772")
            load(arguments, "127.0.0.1:8772", 32)
            peer = load(arguments, "127.0.0.1:8772", arguments.python_requests)
        finally:
            server.terminate()
            server.wait()
        print("FastAPI      ", json.dumps(peer))
        print(f"requests a second: alft {alft:.0f}, FastAPI with Math-Verify {peer['per_second']:.1f}, ratio {alft / peer['per_second']:.0f}")


if __name__ == "__main__":
    main()
