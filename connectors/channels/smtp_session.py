"""An SMTP connection that can be ended from outside: time-outs bound single reads only, a deadline bounds them all."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import struct
import threading

CONNECT_TIMEOUT = 5.0


class Session(smtplib.SMTP):
    """Connected on creation; `timeout` (seconds) bounds single reads. Raises `OSError` as smtplib does."""

    def __init__(self, host: str, port: int, timeout: float, *, implicit_tls: bool) -> None:
        self._implicit_tls = implicit_tls
        self._own: socket.socket | None = None
        self._is_cut = False
        self._name = host
        super().__init__(local_hostname=_own_name(), timeout=timeout)
        self._host = host  # what starttls verifies the certificate against
        self._port = port

    def begin(self, *, starttls: bool) -> None:
        """Connects and greets; encrypts first where asked."""
        code, said = self.connect(self._name, self._port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        self.ehlo_or_helo_if_needed()
        if starttls:
            code, said = self.starttls(context=ssl.create_default_context())
            if code != 220:
                raise smtplib.SMTPResponseException(code, said)
            self.ehlo_or_helo_if_needed()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = socket.create_connection((host, port), CONNECT_TIMEOUT)
        sock.settimeout(timeout)
        self._own = sock.dup()  # TLS takes the socket object over; this one stays ours to cut
        if self._is_cut:
            sock.close()
            raise TimeoutError("the time is over")
        if self._implicit_tls:
            return ssl.create_default_context().wrap_socket(sock, server_hostname=self._name)
        return sock

    def cut(self) -> None:
        """Ends the connection at once, from another thread; whoever waits on it gets an error."""
        self._is_cut = True
        if self._own is not None:
            with contextlib.suppress(OSError):
                self._own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._own.shutdown(socket.SHUT_RDWR)

    def start_over(self) -> bool:
        """After a refusal, the connection is ready for the next mail; False when it is not."""
        try:
            return self.rset()[0] == 250
        except OSError:
            return False

    def leave(self) -> None:
        """Says goodbye without waiting for the answer, and closes."""
        with contextlib.suppress(OSError):
            if self.sock is not None:
                self.sock.settimeout(1)
                self.putcmd("quit")
        self.close()
        if self._own is not None:
            self._own.close()
            self._own = None


class Deadline:
    """Wall-clock seconds for what happens inside `with`: then the watched connection is cut."""

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._over = False
        self._left = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def watch(self, session: Session) -> None:
        """From now on this is the connection to cut. Raises `TimeoutError` when the time is over already."""
        with self._lock:
            if self._over:
                raise TimeoutError("the time is over")
            self._session = session

    def _end(self) -> None:
        with self._lock:
            self._over = True
            if self._session is not None and not self._left:
                self._session.cut()

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._left = True


def _own_name() -> str:
    """As smtplib greets, but without asking the resolver, which may take its time."""
    name = socket.gethostname()
    return name if "." in name else "[127.0.0.1]"
