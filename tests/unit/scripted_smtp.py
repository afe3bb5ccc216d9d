"""An SMTP server that answers by a script: for what the catcher is too decent to do."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HANG_UP = b""
DECENT = {"EHLO": b"250 scripted\r\n", "DATA": b"354 go on\r\n", ".": b"250 taken\r\n", "QUIT": b"221 bye\r\n"}


class ScriptedSmtp:
    """`script` maps a command (`HELLO` for the greeting, `.` for the final dot) to the answer; HANG_UP ends it.

    A list is used up one connection after the other. `drips` seconds between the bytes of the answer to `drip_at`.
    """

    def __init__(self, script: dict[str, bytes | list[bytes]], drip_at: str = "") -> None:
        self.script = {**DECENT, **script}
        self.drip_at = drip_at
        self.heard: list[str] = []
        self.connections = 0
        self.mails = 0
        self.closing = threading.Event()

    def answer(self, command: str) -> bytes:
        said = self.script.get(command, b"250 OK\r\n")
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        return said


@contextmanager
def scripted_smtp(script: dict[str, bytes | list[bytes]], drip_at: str = "") -> Iterator[tuple[ScriptedSmtp, str]]:
    """(the server, its URL)"""
    state = ScriptedSmtp(script, drip_at)

    class Talk(socketserver.StreamRequestHandler):
        def say(self, command: str) -> bool:
            said = state.answer(command)
            if command == state.drip_at:
                for byte in said:
                    self.wfile.write(bytes([byte]))
                    if state.closing.wait(0.1):
                        return False
            else:
                self.wfile.write(said)
            return bool(said)

        def handle(self) -> None:
            state.connections += 1
            with suppress(OSError):
                if not self.say("HELLO"):
                    return
                while line := self.rfile.readline():
                    command = line.decode("utf-8", "replace").strip()
                    state.heard.append(command)
                    verb = command.split(" ")[0].upper()
                    if not self.say(verb) or verb == "QUIT":
                        return
                    if verb == "DATA" and state.answer("DATA").startswith(b"354") and not self.take():
                        return

        def take(self) -> bool:
            while line := self.rfile.readline():
                if line == b".\r\n":
                    state.mails += 1
                    return self.say(".")
            return False

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    state.script.setdefault("HELLO", b"220 scripted\r\n")
    with Server(("127.0.0.1", 0), Talk) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield state, f"smtp://127.0.0.1:{server.server_address[1]}"
        state.closing.set()
        server.shutdown()
