"""Load a server of serve.py: python load.py MODEL.onnx --requests 10000 --clients 100

It starts serve.py on this machine and asks it from so many connections at once. Beside
them, clients that send a byte at a time, that leave in the middle, or that send what is
no request. Every answer is compared with what the graph gives for the same rows. It
prints how many answers were lost or wrong, how long they took, and the server's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import serve

N_DIFFERENT = 64  # requests, asked over and over


def make_requests(model: serve.Model, seed: int = 0) -> list[dict]:
    """Requests of one to twenty rows, of values that the columns' types allow."""
    rng = np.random.default_rng(seed)

    def value(one: dict):
        if rng.random() < 0.05:
            return None
        if one["type"] == "string":
            return str(rng.choice(["a", "Oslo", "", "é", "😀", "new|old"]))
        if one["type"] == "bool":
            return bool(rng.random() < 0.5)
        if one["type"] == "double":
            return float(rng.normal(scale=30))
        return int(rng.integers(0, 1000))

    def column(one: dict, n_rows: int) -> list:
        n_rows = 1 if one["shared"] else n_rows
        if one["axes"] == 1:
            return [value(one) for _ in range(n_rows)]
        return [[value(one) for _ in range(rng.integers(0, 4))] for _ in range(n_rows)]

    return [
        {"columns": {name: column(one, n) for name, one in model.columns.items()}}
        for n in rng.integers(1, 21, N_DIFFERENT)
    ]


def expected(model: serve.Model, requests: list[dict]) -> list[dict]:
    """The answers, each request computed alone."""
    inputs = [model.inputs(request)[0] for request in requests]
    return [model.answer(model.run(one)) for one in inputs]


def alike(found: dict, wanted: dict) -> bool:
    if found.keys() != wanted.keys():
        return False
    pairs = [(found["tasks"][name], one) for name, one in wanted["tasks"].items()]
    return all(
        np.allclose(np.array(a, float), np.array(b, float), 1e-5, 1e-7, equal_nan=True)
        for a, b in pairs
    )


def as_bytes(body: bytes) -> bytes:
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = int(head.split()[1])
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    body = await reader.readexactly(int(fields["Content-Length"]))
    return status, json.loads(body)


async def client(port: int, turns: list[int], requests: list, wanted: list) -> dict:
    """One connection that asks and checks; what it counted."""
    counted: dict = {"right": 0, "wrong": 0, "seconds": []}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for i in turns:
        start = time.perf_counter()
        writer.write(requests[i])
        await writer.drain()
        status, body = await read_answer(reader)
        counted["seconds"].append(time.perf_counter() - start)
        right = status == 200 and alike(body, wanted[i])
        counted["right" if right else "wrong"] += 1
    writer.close()
    return counted


async def nuisance(port: int, kind: int, stop: asyncio.Event, body: bytes) -> int:
    """A client that is slow, leaves, or talks nonsense, again and again."""
    turns = 0
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if kind == 0:  # a byte at a time, and then nothing
                for byte in body[:200]:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.002)
            elif kind == 1:  # leaves in the middle of the body
                writer.write(body[: len(body) // 2])
                await writer.drain()
            elif kind == 2:  # asks, and does not wait
                writer.write(body)
            else:
                writer.write(b"\x00\xff nonsense\r\n\r\n")
                await asyncio.wait_for(reader.read(100), 5)
            writer.transport.abort()
        except (TimeoutError, OSError):
            pass
        turns += 1
        await asyncio.sleep(0.02)
    return turns


async def load(port: int, model: serve.Model, n_requests: int, n_clients: int) -> dict:
    """What came of so many requests from so many connections."""
    requests = make_requests(model)
    wanted = expected(model, requests)
    raw = [as_bytes(json.dumps(one).encode()) for one in requests]
    turns = np.array_split(np.arange(n_requests) % N_DIFFERENT, n_clients)
    stop = asyncio.Event()
    others = [
        asyncio.create_task(nuisance(port, i % 4, stop, raw[0])) for i in range(8)
    ]
    start = time.perf_counter()
    counted = await asyncio.gather(
        *(client(port, own.tolist(), raw, wanted) for own in turns)
    )
    took = time.perf_counter() - start
    stop.set()
    broken = sum(await asyncio.gather(*others))
    seconds = np.concatenate([one["seconds"] for one in counted])
    right = sum(one["right"] for one in counted)
    wrong = sum(one["wrong"] for one in counted)
    return {
        "right": right,
        "wrong": wrong,
        "lost": n_requests - right - wrong,
        "broken": broken,
        "per_second": n_requests / took,
        "median_ms": 1e3 * float(np.median(seconds)),
        "p99_ms": 1e3 * float(np.quantile(seconds, 0.99)),
    }


def memory(pid: int) -> float:
    """MiB that a process holds; NaN where the system does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    (held,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
    return int(held) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=100)
    given = parser.parse_args()
    script = Path(serve.__file__)
    command = [
        sys.executable,
        str(script),
        given.model,
        "--port",
        "0",
        "--patience",
        "5",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = int(server.stdout.readline().rsplit(":", 1)[1])
            model = serve.Model(given.model, 10_000)
            for part in ("warm up", "first half", "second half"):
                n = given.requests // (10 if part == "warm up" else 2)
                found = asyncio.run(load(port, model, n, given.clients))
                told = ", ".join(
                    f"{key} {value:.1f}"
                    if isinstance(value, float)
                    else f"{key} {value}"
                    for key, value in found.items()
                )
                print(
                    f"{part}: {told}, memory {memory(server.pid):.1f} MiB", flush=True
                )
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
