"""An HTTP server on the loopback interface whose connections can fail."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep  # so that tests which patch time.sleep do not change it here


class Loopback:
    """The content that is served, and the number of requests.

    Attributes
    ----------
    content : bytes
        Content of every address but /missing.
    cuts : list of int
        After how many bytes the next responses are cut; responses are complete once it is empty.
    status : list of int
        Status codes of the next responses, before the content is sent.
    pause : float
        Seconds before each response.
    n_requests : int
        Number of requests.
    """

    def __init__(self, content):
        self.content, self.cuts, self.status = content, [], []
        self.n_requests, self.pause, self.url = 0, 0.0, ""


@contextmanager
def serve(content):
    state = Loopback(content)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def log_message(self, *args):
            pass

        def do_GET(self):
            state.n_requests += 1
            sleep(state.pause)
            status = state.status.pop(0) if state.status else 200
            if self.path == "/missing":
                status = 404
            body = state.content if status == 200 else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut = state.cuts.pop(0) if body and state.cuts else len(body)
            self.wfile.write(body[:cut])
            if cut < len(body):
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Ignore clients that close the connection."""

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
