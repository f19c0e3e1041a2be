"""Disturbs training runs at random, and compares each with the same run left alone. Started by soak.sh.

A round is one run of the tiny policy in a debug build: a warm start, then a game with evaluations and exports. It is killed
soon after the game has begun, and its folder is copied. The one copy is resumed again and again and disturbed each time, as
`DISTURBANCES` says; its plugins change by edits of the run file meanwhile. Then the other copy gets the record of these
changes, which a resumed run makes again at their steps, and is left alone. Metrics, samples, diagnostics, changes, ledger,
model and summary must be equal then, byte for byte but for the seconds, and so must the names of all files. After every
disturbance each file must be whole, and no message may be a panic. The seed decides everything but the moments, which are
the machine's.
"""

import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALFT = ROOT / "target/debug/alft"
COMPONENTS = ROOT / "target/alft/component/wasm32-unknown-unknown/release"
LIBRARY = next(ROOT.glob("target/alft/native/*/release/libalft_misbehave.so"), None)
# The file system of a round, with room for two runs.
DISK = ROOT / "target/soak"
DISK_MIB = 96
WARM_START_STEPS = 20

BASE = """output = "out"
model = {{ embedded = "tiny"{lora} }}
warm_start = {{ data = "worked.jsonl", steps = {warm}, batch = 16 }}
prompts = {{ train = "train.jsonl", eval = "eval.jsonl" }}
sampling = {{ max_new_tokens = 32, temperature = 1.15 }}
game = {{ group = 4, bundles_per_step = 2{game} }}
target = {{ dynamics = "average" }}
eval = {{ bundles = 4, group = 2, every = 7 }}
limits = {{ fuel_base = {fuel}, deadline_ms = 600000 }}

[train]
steps = {steps}
save_every = {save_every}
checkpoint_every = 5
keep = 2
best = {{ metric = "reward" }}
schedule = {{ learning_rate = {rate}, warmup_steps = 10 }}
loss = {{ beta = 0.02 }}
"""

# Faults of plugins/misbehave. In a component each has the same outcome every time, a library can end its process.
FAULTS = ["loop", "panic", "error", "nan", "infinity", "out-of-range", "enormous", "memory", "recursion", "short", "abort",
          "exit", "flood", "print", "huge", "fork"]
NATIVE_FAULTS = ["abort", "exit"]

# How a process ends, or is made to. The numbers are shares.
ENDS = {"kill": 6, "full disk": 3, "hangup": 2, "terminal gone": 2, "terminate": 1, "left": 2}


class Found(Exception):
    """Something that must not be."""


def require(right, *words):
    if not right:
        raise Found(" ".join(map(str, words)))


class Round:
    def __init__(self, seed, counts):
        self.random, self.counts, self.log = random.Random(seed), counts, []
        pick = self.random.choice
        self.settings = {
            "warm": WARM_START_STEPS, "steps": 150, "save_every": pick([1, 2, 3]), "fuel": 3_000_000, "rate": 3e-4,
            "lora": pick(["", ', lora = { rank = 4, alpha = 8.0, targets = ["q_proj", "up_proj"] }']),
            "game": pick(["", ', questions = "adaptive", dynamic_sampling = { max_rounds = 1 }']),
        }
        self.plugins = {
            "arithmetic": {"file": "arithmetic", "keys": 'config = { marker = ":" }'},
            "entropy": {"file": "entropy", "keys": "weight = 0.03"},
            "coherence": {"file": "coherence", "keys": "weight = 0.6"},
        }
        for name in ["train", "eval", "worked"]:
            shutil.copy(ROOT / f"examples/quickstart/{name}.jsonl", DISK)
        self.run = DISK / "run"
        self.write_run_file()

    # The run file, and edits of it.

    def write_run_file(self):
        text = BASE.format(**self.settings)
        for name, plugin in self.plugins.items():
            path = LIBRARY if plugin["file"] == "native" else COMPONENTS / f"alft_{plugin['file']}.wasm"
            text += f'\n[[plugin]]\nname = "{name}"\npath = "{path}"\n{plugin["keys"]}\n'
        try:
            (DISK / "run.toml").write_text(text)
        except OSError:
            pass  # The disk is full. The next edit writes the file again.

    def edit(self):
        pick = self.random.choice
        kind = pick(["weight", "file", "remove", "limits", "rate", "hostile", "hostile", "half a file", "nonsense"])
        self.counts[f"edit: {kind}"] += 1
        if kind == "weight":
            self.plugins["coherence"]["keys"] = f"weight = {pick([0.0, 0.1, 0.3, 0.6])}"
        elif kind == "file":
            entropy = self.plugins.setdefault("entropy", {"keys": "weight = 0.03"})
            entropy["file"] = pick(["entropy", "gini"])
        elif kind == "remove":
            self.plugins.pop(pick(["entropy", "hostile", "native"]), None)
        elif kind == "limits":
            self.settings["fuel"] = pick([2_000_000, 3_000_000, 4_000_000])
        elif kind == "rate":
            self.settings["rate"] = pick([1e-4, 3e-4, 1e-3])
        elif kind == "hostile":
            native = self.random.random() < 0.2 and LIBRARY is not None
            fault, role = pick(NATIVE_FAULTS if native else FAULTS), pick(["verifier", "objective"])
            self.counts[f"hostile: {'native ' if native else ''}{fault}"] += 1
            keys = f'roles = ["{role}"]\nweight = 0.01\nmax_failure_rate = 1.0\non_error = "drop-{pick(["sample", "group"])}"\n'
            keys += f'config = {{ fault = "{fault}", on = "{pick("123456789")}" }}'
            if native:
                keys += f'\ntrust = "native"\nhash = "{library_hash()}"'
            self.plugins["native" if native else "hostile"] = {"file": "native" if native else "misbehave", "keys": keys}
        self.write_run_file()
        if kind in ["half a file", "nonsense"]:
            text = (DISK / "run.toml").read_text()
            half = text[: self.random.randrange(len(text))]
            try:
                (DISK / "run.toml").write_text(half if kind == "half a file" else half + "\n]]\x00")
            except OSError:
                pass
            self.nap(0.2)
            self.write_run_file()

    # A process.

    def start(self, *arguments, end=None):
        """Starts a training, whose messages go to a file, to nobody, or to a terminal."""
        command = [ALFT, "train", *arguments]
        listener = "terminal" if end == "terminal gone" else self.random.choice(["file", "file", "gone", "full"])
        streams = {"stdin": subprocess.DEVNULL}
        self.terminal = None
        if listener == "terminal":
            self.terminal, theirs = pty.openpty()
            streams = dict.fromkeys(["stdin", "stdout", "stderr"], theirs)
        elif listener == "file":
            # Not on the small disk.
            streams["stdout"] = streams["stderr"] = open(MESSAGES, "wb")
        elif listener == "full":
            self.counts["listener: full disk"] += 1
            streams["stdout"] = streams["stderr"] = open("/dev/full", "wb")
        else:
            self.counts["listener: gone"] += 1
            reading, writing = os.pipe()
            os.close(reading)
            streams["stdout"] = streams["stderr"] = writing
        MESSAGES.write_bytes(b"")
        prepare = take_terminal if listener == "terminal" else os.setsid
        process = subprocess.Popen(command, cwd=DISK, preexec_fn=prepare, env=ENVIRONMENT, **streams)
        for stream in set(streams.values()) - {subprocess.DEVNULL}:
            os.close(stream) if isinstance(stream, int) else stream.close()
        self.listener = listener
        return process

    def nap(self, longest):
        time.sleep(self.random.random() * longest)

    def disturb(self):
        """Resumes the run and disturbs it. Returns true once it is at its end."""
        end = self.random.choices(list(ENDS), ENDS.values())[0]
        busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(self.random.choice([0, 0, 0, 3]))]
        self.counts["slowed by busy loops"] += bool(busy)
        # Edits after the last step would be changes of a run that is over, which one left alone makes before its end.
        over = steps_done(self.run) == self.settings["steps"]
        process = self.start("run/run.toml" if over else "run.toml", "--resume", "run", end=end)
        self.log.append(end)
        try:
            for _ in range(0 if over else self.random.choice([0, 1, 1, 2])):
                self.nap(0.8)
                if self.random.random() < 0.25:
                    self.counts["stopped for a while"] += 1
                    process.send_signal(signal.SIGSTOP)
                    self.nap(0.5)
                    process.send_signal(signal.SIGCONT)
                else:
                    self.edit()
            self.nap(1.5 if end == "full disk" else 0.8)
            ended_before = process.poll() is not None
            if not ended_before:
                self.counts[end] += 1
            allowed = self.finish(process, end)
        finally:
            [loop.kill() or loop.wait() for loop in busy]
            if self.terminal is not None:
                os.close(self.terminal)
        code = process.returncode
        messages = MESSAGES.read_text(errors="replace")
        require(") panicked at" not in messages, "a panic:", messages[-2000:])
        # Without a place for its data, the summary, a run that has ended says so.
        allowed |= {0} | ({1} if self.listener == "full" else set())
        require(code in allowed, f"exit code {code} after: {end}, messages to: {self.listener}:", messages[-2000:])
        check_readable(self.run)
        at_end = code == 0 and (self.run / "summary.json").exists()
        return at_end and steps_done(self.run) == self.settings["steps"]

    def finish(self, process, end):
        """Ends a process, and returns the exit codes that it may have."""
        if end == "kill":
            process.kill()
            process.wait()
            return {-signal.SIGKILL}
        if end in ["hangup", "terminate"]:
            number = signal.SIGHUP if end == "hangup" else signal.SIGTERM
            process.send_signal(number)
            wait(process)
            return {-number}
        if end == "terminal gone":
            os.close(self.terminal)
            self.terminal = None
            wait(process)
            return {-signal.SIGHUP, 1}
        if end == "full disk":
            ballast = fill_disk(self.random.choice([0, 0, 1, 4, 64, 400]) << 10)
            wait(process)
            ballast.unlink()
            return {1}
        wait(process)
        return set()

    def play(self):
        process = self.start("run.toml", "--output", "run", end="kill")
        while process.poll() is None and lines(self.run / "metrics.jsonl") < WARM_START_STEPS + 2:
            time.sleep(0.002)
        process.kill()
        process.wait()
        check_readable(self.run)
        shutil.copytree(self.run, DISK / "alone")
        while not self.disturb():
            require(len(self.log) < 200, "the run does not come to its end")
        # The same changes at the same steps, and the files of their plugins.
        alone = DISK / "alone"
        if (self.run / "changes.jsonl").exists():
            shutil.copy(self.run / "changes.jsonl", alone)
            shutil.copytree(self.run / "plugins", alone / "plugins", dirs_exist_ok=True)
        self.counts["changes of plugins"] += lines(self.run / "changes.jsonl")
        for arguments in [["train", "run/run.toml", "--resume", "run"], ["train", "run/run.toml", "--resume", "alone"],
                          ["replay", "run", "--trust-native"]]:
            output = subprocess.run([ALFT, *arguments], cwd=DISK, env=ENVIRONMENT, capture_output=True, text=True)
            require(output.returncode == 0, arguments, output.returncode, output.stderr[-2000:])
        compare(self.run, alone)


def take_terminal():
    import fcntl
    import termios
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def wait(process):
    try:
        # Much longer than a run takes beside other work.
        process.wait(timeout=900)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Found("a run does not end") from None


def fill_disk(free):
    """Fills the small disk but for `free` bytes."""
    ballast = DISK / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    try:
        os.truncate(ballast, max(0, ballast.stat().st_size - free))
    except OSError:
        pass
    return ballast


def library_hash():
    text = subprocess.run([ALFT, "plugin", "inspect", LIBRARY], capture_output=True, text=True, check=True).stdout
    return re.search(r"\b[0-9a-f]{64}\b", text)[0]


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def objects(path):
    """The whole lines of a file."""
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def steps_done(run):
    return max((line["step"] for line in objects(run / "metrics.jsonl") if line["phase"] == "game"), default=0)


def header(path):
    """The header of a safetensors file, all of whose tensors are there."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    tensors = json.loads(content[8 : 8 + size])
    ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
    require(len(content) == 8 + size + max(ends, default=0), path, "is not whole")


def check_readable(run):
    for name in ["metrics", "samples", "diagnostics", "changes"]:
        objects(run / f"{name}.jsonl")
    if (run / "run.toml").exists():
        tomllib.loads((run / "run.toml").read_text())
    if (run / "summary.json").exists():
        json.loads((run / "summary.json").read_text())
    if (run / "curves.svg").exists():
        require((run / "curves.svg").read_text().rstrip().endswith("</svg>"), "half a picture")
    for weights in run.rglob("*.safetensors"):
        if not any(part.startswith(".") for part in weights.relative_to(run).parts):
            header(weights)


def compare(run, alone):
    def timeless(record):
        [record.pop(key, None) for key in ["time", "seconds", "plugin_seconds"]]
        return record

    for name in ["metrics", "samples", "diagnostics", "changes"]:
        left, right = ([timeless(line) for line in objects(folder / f"{name}.jsonl")] for folder in [run, alone])
        for number, (a, b) in enumerate(zip(left, right), 1):
            require(a == b, f"{name}.jsonl, line {number}: {a} is not {b}")
        require(len(left) == len(right), f"{name}.jsonl has {len(left)} lines, and {len(right)} alone")
    summaries = [timeless(json.loads((folder / "summary.json").read_text())) for folder in [run, alone]]
    require(summaries[0] == summaries[1], "summaries differ:", *summaries)
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in [run, alone]]
    require(names[0] == names[1], "files differ:", set(names[0]) ^ set(names[1]))
    exported = [name for name in names[0] if name.endswith(".safetensors") and not name.startswith("state/")]
    require(len(exported) >= 2, "there is no model")
    for name in ["ledger", *exported]:
        require((run / name).read_bytes() == (alone / name).read_bytes(), f"{name} differs")


ENVIRONMENT = dict(os.environ, LC_ALL="C.UTF-8", ALFT_CACHE=str(ROOT / "target/alft"))
MESSAGES = ROOT / "target/soak-messages"


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    DISK.mkdir(parents=True, exist_ok=True)
    counts, started, number = Counter(), time.monotonic(), 0
    while time.monotonic() - started < 60 * minutes:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "soak", DISK], check=True)
        number += 1
        play = Round(f"{seed}.{number}", counts)
        try:
            play.play()
        except (Found, ValueError, KeyError, OSError) as found:
            kept = ROOT / f"target/soak-{seed}-{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(DISK, kept, ignore=shutil.ignore_patterns("ballast"))
            print(f"seed {seed}, round {number}: {found!r}\nafter {play.log}; its files are in {kept}", file=sys.stderr)
            sys.exit(1)
        finally:
            subprocess.run(["umount", DISK], check=True)
        print(f"round {number}: {len(play.log)} times resumed: {', '.join(play.log)}", flush=True)
        counts["resumed"] += len(play.log)
    counts["rounds"] = number
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes, seed {seed}: every run equals the same run left alone")
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")


main()
