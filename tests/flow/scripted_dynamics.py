"""A service in Dynamics' place, in the test's own process: remembers every request with all its
headers, keeps the contacts it was told of, and answers what the test scripts. Binds a free port.
"""

import dataclasses
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = re.compile(r"^/api/data/v9\.2/contacts\(reveille_mentorid='([0-9a-f-]{36})'\)$")


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: tuple   # (name, value), as they came
    body: str

    @property
    def mentor(self):
        found = PATH.match(self.path)
        return found and found.group(1)

    def header(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


class ScriptedDynamics:
    """`answers`: mentor → list of (status, headers), taken one a request; then 204 is the answer."""

    def __init__(self):
        self.requests = []
        self.contacts = {}
        self.answers = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/api/data/v9.2"

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, request):
        """(status, headers) for the request, which is remembered."""
        with self._lock:
            self.requests.append(request)
            script = self.answers.get(request.mentor)
            status, headers = script.pop(0) if script else (204, {})
            if status == 204 and request.mentor:
                self.contacts[request.mentor] = json.loads(request.body)
            return status, headers

    def _handler(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                size = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(size).decode()
                status, headers = service.take(Request(self.command, self.path,
                                                       tuple(self.headers.items()), body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_arguments):
                pass
        return Handler
