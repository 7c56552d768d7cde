"""An HTTP server on the loopback that fails as servers and networks do."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback:
    """What is served and how, and what was asked.

    Attributes
    ----------
    content : bytes
        What stands at every address but /missing.
    cuts : list of int
        After how many bytes of the answer the next connections are cut; whole once it is empty.
    ranges : bool
        Whether the server goes on where it is asked to.
    status : list of int
        Failures that the next requests get.
    pause : float
        Seconds before each answer.
    offset_error : int
        How many bytes before the place that it was asked for the server goes on.
    asked : list
        The Range header of every request, None where there was none.
    """

    def __init__(self, content):
        self.content, self.cuts, self.ranges, self.status, self.asked = content, [], True, [], []
        self.offset_error, self.pause, self.url = 0, 0.0, ""


@contextmanager
def serve(content):
    state = Loopback(content)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_GET(self):
            wanted = self.headers["Range"]
            state.asked.append(wanted)
            time.sleep(state.pause)
            status = state.status.pop(0) if state.status else 200
            if self.path == "/missing":
                status = 404
            if status != 200:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            if wanted and state.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            total = len(state.content)
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = max(start - state.offset_error, 0) if start else 0
            self.send_response(206 if wanted and state.ranges else 200)
            if wanted and state.ranges:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            body = state.content[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut = state.cuts.pop(0) if state.cuts else len(body)
            self.wfile.write(body[:cut])
            if cut < len(body):
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Keep quiet about clients that hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
