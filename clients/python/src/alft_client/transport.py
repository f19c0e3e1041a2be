"""HTTP connections that are kept and used again, from any thread."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import ConnectionFailed, ProtocolError, TimedOut

# Connections that are kept while nobody uses them.
_KEPT = 16
# Seconds after which an idle connection is not used again: the server closes it after 30, and routers forget it.
_IDLE = 20.0
_CHUNK = 1 << 16
# Largest answer, in bytes: it has the advantages and scores of one request, and never comes near.
_LONGEST = 1 << 30


@dataclass(frozen=True)
class Response:
    """A whole answer."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes


class Transport:
    """The connections to one server."""

    def __init__(self, url: str, timeout: float, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        # The address may hold a password where it is wrong, so no message quotes it whole.
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url must be the address of `alft serve`, such as http://127.0.0.1:8765")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url must have no user and password; pass the server's token as `token=`")
        if parts.query or parts.fragment:
            raise ValueError("url must end with its path: it has a query or a fragment")
        if not timeout > 0:
            raise ValueError("timeout must be above 0 seconds")
        self._host = parts.hostname
        self._port = parts.port
        self._path = parts.path.rstrip("/")
        self._timeout = timeout
        self._context = (context or ssl.create_default_context()) if parts.scheme == "https" else None
        # Without a port, user or password: what messages may say.
        self.name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._process = os.getpid()
        self._closed = False

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        """Sends one request and returns its answer, whatever its status."""
        while True:
            connection, is_kept = self._take()
            try:
                return self._exchange(connection, method, path, headers, body)
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if isinstance(error, TimeoutError):
                    raise TimedOut(f"{self.name} gave no answer within {self._timeout:g} seconds") from error
                # A server may close a kept connection at any time: that says nothing about the server.
                if is_kept and isinstance(error, ConnectionError):
                    continue
                reason = str(error) or type(error).__name__
                raise ConnectionFailed(f"no answer from {self.name}: {reason}") from error
            except BaseException:
                # An interrupted exchange leaves the rest of its answer in the connection.
                connection.close()
                raise

    def close(self) -> None:
        """Closes the connections. Requests that are under way keep theirs until they end."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Response:
        ends = time.monotonic() + self._timeout
        if connection.sock is None:
            connection.connect()
        # http.client forgets the socket of an answer that ends with its connection, and a socket's timeout is for one
        # operation: a server that sends a byte now and then would be waited for for ever.
        sock: socket.socket = connection.sock
        sock.settimeout(_left(ends))
        connection.request(method, self._path + path, body=body, headers=dict(headers))
        sock.settimeout(_left(ends))
        response = connection.getresponse()
        parts: list[bytes] = []
        size = 0
        while not response.isclosed():
            sock.settimeout(_left(ends))
            part = response.read1(_CHUNK)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > _LONGEST:
                raise ProtocolError(f"the answer of {self.name} is longer than {_LONGEST} bytes")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        # `read1` does not notice the last byte, and a connection has no next request before its answer is closed.
        response.close()
        answer = Response(response.status, response.reason, response.headers, b"".join(parts))
        if response.will_close:
            connection.close()
        else:
            self._keep(connection)
        return answer

    def _take(self) -> tuple[http.client.HTTPConnection, bool]:
        if os.getpid() != self._process:
            # Two processes on one connection would read each other's answers. A close here is none for the parent.
            inherited = self._idle
            self._reset()
            for _, connection in inherited:
                connection.close()
        now = time.monotonic()
        with self._lock:
            while self._idle:
                since, connection = self._idle.pop()
                if now - since < _IDLE:
                    return connection, True
                connection.close()
        if self._context is not None:
            return (
                http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context),
                False,
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout), False

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _KEPT:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
