"""Serve a graph of dephn_sk over HTTP: python serve.py MODEL.onnx --port 8000

It needs onnxruntime and numpy (the extra ``serve``), and no dephn_sk.

``POST /predict`` takes ``{"columns": {"city": ["Oslo", null], "age": [31, 27.5]}}``: a
list for each column, all of one length, null where a value is missing; a column of
lists has a list in each row. It gives ``{"tasks": {"click": [0.1, 0.2]}}``: the
probability of the second class of a binary task, of each class otherwise. ``GET
/health`` says what is served. Whatever is wrong is an error in JSON that names the
column.

Requests that wait at the same time are computed together. A client that is slow loses
its connection, and keeps nobody else waiting; too many at once are turned away.
"""

from __future__ import annotations

import argparse
import json
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime

DTYPES = {
    "string": object,
    "int64": np.int64,
    "uint64": np.uint64,
    "bool": bool,
    "double": np.float64,
}
KINDS = {
    "string": ("text", str),
    "int64": ("an integer", int),
    "uint64": ("an integer", int),
    "bool": ("true or false", bool),
    "double": ("a number", (int, float)),
}
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b'Content-Length: 34\r\nConnection: close\r\n\r\n{"error": "Too many connections."}'
)
LENGTH = ".length"  # of lists, which come without it


class Refused(Exception):
    """A request that cannot be answered: a status, and what is wrong."""

    def __init__(self, status: int, message: str, column: str | None = None) -> None:
        self.status = status
        self.body = {"error": message} | ({"column": column} if column else {})


class Model:
    """A graph, and the inputs that it makes of columns.

    Parameters
    ----------
    path : path
    max_rows : int
        Of one request, and of what is computed together.
    """

    def __init__(self, path, max_rows: int) -> None:
        threads = onnxruntime.SessionOptions()
        threads.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, threads)
        about = self.session.get_modelmeta().custom_metadata_map["dephn_sk"]
        self.about = json.loads(about)
        if self.about["inputs"] == "encoded":
            raise SystemExit("The graph takes encoded inputs. Export it with raw ones.")
        self.max_rows = max_rows
        names = {one["name"] for one in self.about["columns"]}
        self.columns = {
            one["name"]: one
            for one in self.about["columns"]
            if not (
                one["name"].endswith(LENGTH) and one["name"][: -len(LENGTH)] in names
            )
        }
        self.lengths = names - self.columns.keys()
        self.batches = not any(one["shared"] for one in self.columns.values())

    def inputs(self, request) -> tuple[dict, int]:
        """The graph's inputs, and the number of rows."""
        given = request.get("columns") if isinstance(request, dict) else None
        if not isinstance(given, dict):
            raise Refused(400, 'Give {"columns": {name: [values]}}.')
        for name in given:
            if name not in self.columns:
                raise Refused(400, f"There is no column {name!r}.", name)
        lengths = {self._length(name, given, one) for name, one in self.columns.items()}
        n_rows = max(lengths)
        inputs, masks = {}, {}
        for name, one in self.columns.items():
            wanted = 1 if one["shared"] else n_rows
            if len(given[name]) != wanted:
                said = f"Column {name!r} has {len(given[name])} rows, not {wanted}."
                raise Refused(400, said, name)
            inputs |= self._input(one, given[name], masks)
        for mask, names in self.about["masks"].items():
            inputs[mask] = np.stack([masks[name] for name in names], axis=1)
        return inputs, n_rows

    def _length(self, name: str, given: dict, one: dict) -> int:
        if not isinstance(given.get(name), list) or not given[name]:
            raise Refused(400, f"Column {name!r} must be a list of values.", name)
        if len(given[name]) > self.max_rows:
            said = f"Column {name!r} has more than {self.max_rows} rows."
            raise Refused(413, said, name)
        return 1 if one["shared"] else len(given[name])

    def _input(self, one: dict, values: list, masks: dict) -> dict:
        name = one["name"]
        if one["axes"] == 1:
            masks[name] = np.array([value is None for value in values])
            return {name: self._array(one, values)}
        rows = [[] if row is None else row for row in values]
        if not all(isinstance(row, list) for row in rows):
            raise Refused(400, f"Column {name!r} must have a list in each row.", name)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        members = self._array(one, [member for row in rows for member in row])
        fill = "" if one["type"] == "string" else 0
        padded = np.full((len(rows), lengths.max()), fill, dtype=members.dtype)
        padded[np.arange(lengths.max()) < lengths[:, None]] = members
        own = {name: padded}
        if f"{name}{LENGTH}" in self.lengths:
            own[f"{name}{LENGTH}"] = lengths
        return own

    def _array(self, one: dict, values: list) -> np.ndarray:
        """Values of one type; a missing one is what stands for it."""
        name, (word, kinds) = one["name"], KINDS[one["type"]]
        missing = float("nan") if one["missing"] == "NaN" else one["missing"]
        if missing is None:  # the mask says so
            missing = "" if one["type"] == "string" else 0
        for value in values:
            truth = isinstance(value, bool) and one["type"] != "bool"
            if value is not None and (truth or not isinstance(value, kinds)):
                said = (
                    f"Column {name!r} holds {str(value)[:40]!r}, which is not {word}."
                )
                raise Refused(400, said, name)
        filled = [missing if value is None else value for value in values]
        try:
            array = np.array(filled, dtype=DTYPES[one["type"]])
        except OverflowError:
            said = f"Column {name!r} holds a number too large for {one['type']}."
            raise Refused(400, said, name) from None
        if one["type"] == "string" and any(not _is_unicode(v) for v in filled):
            raise Refused(400, f"Column {name!r} holds text that is no Unicode.", name)
        return array

    def run(self, inputs: dict) -> list[np.ndarray]:
        return self.session.run(None, inputs)

    def answer(self, outputs: list[np.ndarray]) -> dict:
        """Probabilities by task; a row that the model refuses is null."""
        names = [one.name for one in self.session.get_outputs()]
        found, tasks, seen = dict(zip(names, outputs, strict=True)), {}, {}
        for task in self.about["tasks"]:
            output = task["probabilities"]
            values, place = found[output], seen.setdefault(output, 0)
            seen[output] += 1
            several = len(self.about["tasks"]) > 1
            if (
                several
                and sum(t["probabilities"] == output for t in self.about["tasks"]) > 1
            ):
                values = values[:, place]  # one array of all binary tasks
            elif len(task["classes"]) == 2:
                values = values[:, 1]
            tasks[task["name"]] = np.where(np.isnan(values), None, values).tolist()
        return {"tasks": tasks}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """Rows of several requests; rectangles are widened to the widest."""
    if parts[0].ndim == 1 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    most = max(part.shape[1] for part in parts)
    fill = "" if parts[0].dtype == object else 0
    wide = [np.full((len(part), most), fill, dtype=part.dtype) for part in parts]
    for room, part in zip(wide, parts, strict=True):
        room[:, : part.shape[1]] = part
    return np.concatenate(wide)


class Worker(threading.Thread):
    """Computes what waits, several requests at once where they fit.

    Parameters
    ----------
    model : Model
    max_waiting : int
        Requests that may wait; further ones are turned away.
    """

    def __init__(self, model: Model, max_waiting: int) -> None:
        super().__init__(daemon=True)
        self.model = model
        self.waiting: queue.Queue = queue.Queue(max_waiting)
        self.n_answered = self.n_batches = 0

    def ask(self, inputs: dict, n_rows: int, timeout: float) -> list[np.ndarray]:
        """The outputs of a request, from whatever thread."""
        answer: queue.Queue = queue.Queue(1)
        try:
            self.waiting.put_nowait((inputs, n_rows, answer))
        except queue.Full:
            raise Refused(503, "Too many requests wait. Try again later.") from None
        try:
            found = answer.get(timeout=timeout)
        except queue.Empty:
            raise Refused(503, "The answer takes too long. Try again later.") from None
        if isinstance(found, Exception):
            raise found
        return found

    def run(self) -> None:
        held = None
        while True:
            batch = [held or self.waiting.get()]
            held, n_rows = None, batch[0][1]
            while self.model.batches:
                try:
                    one = self.waiting.get_nowait()
                except queue.Empty:
                    break
                if n_rows + one[1] > self.model.max_rows:
                    held = one
                    break
                batch.append(one)
                n_rows += one[1]
            self._compute(batch)

    def _compute(self, batch: list) -> None:
        try:
            names = batch[0][0]
            inputs = {n: joined([one[0][n] for one in batch]) for n in names}
            outputs = self.model.run(inputs)
        except Exception as error:
            for *_, answer in batch:
                answer.put(Refused(500, f"The graph failed: {error}"))
            return
        ends = np.cumsum([n_rows for _, n_rows, _ in batch])[:-1]
        split = [np.split(one, ends) for one in outputs]
        self.n_batches += 1
        self.n_answered += len(batch)
        for i, (*_, answer) in enumerate(batch):
            answer.put([parts[i] for parts in split])


class Handler(BaseHTTPRequestHandler):
    """One connection, which may ask many times."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.timeout = self.server.patience  # of each read and write
        super().setup()

    def do_GET(self) -> None:
        self._answer(self._health)

    def do_POST(self) -> None:
        self._answer(self._predict)

    def _health(self) -> dict:
        if self.path != "/health":
            raise Refused(404, "There are GET /health and POST /predict.")
        model, worker = self.server.model, self.server.worker
        return {
            "status": "ok",
            "tasks": [task["name"] for task in model.about["tasks"]],
            "columns": {name: one["type"] for name, one in model.columns.items()},
            "answered": worker.n_answered,
            "computed": worker.n_batches,
            "waiting": worker.waiting.qsize(),
        }

    def _predict(self) -> dict:
        body = self._body()
        if self.path != "/predict":
            raise Refused(404, "There are GET /health and POST /predict.")
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"The body is no JSON: {error}") from None
        model = self.server.model
        inputs, n_rows = model.inputs(request)
        return model.answer(
            self.server.worker.ask(inputs, n_rows, self.server.patience)
        )

    def _body(self) -> bytes:
        """The whole body, within the time and the size that are allowed."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.close_connection = True
            raise Refused(411, "Give the length of the body as Content-Length.")
        if int(length) > self.server.max_bytes:
            self.close_connection = True
            raise Refused(413, f"A body may have {self.server.max_bytes} bytes.")
        parts, missing = [], int(length)
        until = time.monotonic() + self.server.patience
        while missing:
            part = self.rfile.read1(missing)
            if not part or time.monotonic() > until:
                raise TimeoutError("the body did not come")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _answer(self, find) -> None:
        try:
            try:
                status, body = 200, find()
            except Refused as refused:
                status, body = refused.status, refused.body
            self._send(status, body)
        except OSError:  # slow, or gone
            self.close_connection = True

    def _send(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args) -> None:
        """Nothing for each request."""


class Server(ThreadingHTTPServer):
    """The server: a thread for each connection, one that computes.

    Parameters
    ----------
    model : Model
    address : (str, int), default=("127.0.0.1", 0)
        0 is any free port.
    max_bytes, max_connections, max_waiting : int
    patience : float
        Seconds in which a request must have come, and its answer must be taken.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(
        self,
        model: Model,
        address=("127.0.0.1", 0),
        *,
        max_bytes: int = 2**22,
        max_connections: int = 512,
        max_waiting: int = 4096,
        patience: float = 10.0,
    ) -> None:
        super().__init__(address, Handler)
        self.model, self.max_bytes, self.patience = model, max_bytes, patience
        self.room = threading.BoundedSemaphore(max_connections)
        self.worker = Worker(model, max_waiting)
        self.worker.start()

    def process_request(self, request, client_address) -> None:
        """Give a connection a thread, if there is room for one more."""
        if self.room.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        try:
            request.settimeout(1.0)
            request.sendall(FULL)
        except OSError:
            pass
        self.shutdown_request(request)

    def process_request_thread(self, request, client_address) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.release()

    def handle_error(self, request, client_address) -> None:
        """A connection that broke concerns nobody else."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-rows", type=int, default=10_000)
    parser.add_argument("--max-bytes", type=int, default=2**22)
    parser.add_argument("--max-connections", type=int, default=512)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds")
    given = parser.parse_args()
    server = Server(
        Model(given.model, given.max_rows),
        (given.host, given.port),
        max_bytes=given.max_bytes,
        max_connections=given.max_connections,
        patience=given.patience,
    )
    print(f"http://{given.host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
