"""Toxiproxy: a TCP proxy that can be told to delay, to cut, to hold and to forget.

What it is here: where its server comes from, its process, and the few words of its HTTP API that
the rig needs. It knows nothing of what passes through it. Each Proxy has an address that does not
change, and at most one toxic of a kind and direction.
"""

import json
import os
import shutil
import subprocess

from stack.daemon import Daemon, wait_for
from stack.layout import ROOT, StackError
from stack.net import free_port, http_request

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"
FOLDER = ROOT / "build" / "toxiproxy" / "bin"
START_SECONDS = 30


def server():
    """The server's path; built by Go the first time, which takes a minute and the network."""
    program = FOLDER / "server"
    if program.exists():
        return program
    if shutil.which("go") is None:
        raise StackError("Toxiproxy is built by Go: install golang-go (deploy/install-dependencies "
                         "does), or another Go on the PATH")
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["go", "install", MODULE], env={**os.environ, "GOBIN": str(FOLDER)},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"go install {MODULE}:\n{done.stdout[-2000:]}")
    return program


class Toxiproxy:
    """One server with its proxies."""

    def __init__(self, layout):
        self._layout = layout
        self._port = free_port()
        self._daemon = Daemon(layout, "toxiproxy")
        self.proxies = {}

    def start(self):
        self._daemon.start([server(), "-host", "127.0.0.1", "-port", self._port],
                           {"PATH": os.environ.get("PATH", os.defpath), "LOG_LEVEL": "error"})
        wait_for(lambda: http_request("GET", f"{self._url}/version")[0] == 200, START_SECONDS,
                 "answer of Toxiproxy", [self._daemon])

    def stop(self):
        self._daemon.stop()

    def add(self, name, upstream):
        """A proxy in front of upstream (host:port), which need not be there yet."""
        proxy = Proxy(self, name, upstream)
        self.ask("POST", "/proxies", {"name": name, "listen": proxy.address,
                                      "upstream": upstream, "enabled": True})
        self.proxies[name] = proxy
        return proxy

    def heal(self):
        """Every proxy enabled, no toxic anywhere."""
        self.ask("POST", "/reset", {})

    def ask(self, method, path, body=None):
        status, text = http_request(method, self._url + path, {"Content-Type": "application/json"},
                                    None if body is None else json.dumps(body), seconds=20)
        if status is None or status >= 300:
            raise StackError(f"Toxiproxy: {method} {path}: {status} {text}")

    @property
    def _url(self):
        return f"http://127.0.0.1:{self._port}"


class Proxy:
    """One link. A fault begins with a verb, and ends with `heal`."""

    def __init__(self, owner, name, upstream):
        self.name = name
        self.upstream = upstream
        self.address = f"127.0.0.1:{free_port()}"
        self._owner = owner
        self._toxics = []

    def latency(self, milliseconds, jitter=0):
        """So much later, both ways together."""
        for stream in ("upstream", "downstream"):
            self._add("latency", stream, latency=milliseconds // 2, jitter=jitter // 2)

    def bandwidth(self, kilobytes):
        """So many kilobytes a second, each way."""
        for stream in ("upstream", "downstream"):
            self._add("bandwidth", stream, rate=kilobytes)

    def half_open(self, stream="upstream"):
        """What goes this way is lost, and so is the end of a connection; nobody is told."""
        self._add("timeout", stream, timeout=0)

    def reset(self):
        """RST to every connection there is and to every new one."""
        self._add("reset_peer", "downstream", timeout=0)

    def cut(self):
        """Connections end, new ones are refused."""
        self._owner.ask("POST", f"/proxies/{self.name}", {"enabled": False})

    def heal(self):
        """As it was at first. Connections that were half open are closed."""
        for toxic in self._toxics:
            self._owner.ask("DELETE", f"/proxies/{self.name}/toxics/{toxic}")
        self._toxics = []
        self._owner.ask("POST", f"/proxies/{self.name}", {"enabled": True})

    def _add(self, kind, stream, **attributes):
        name = f"{kind}_{stream}"
        self._owner.ask("POST", f"/proxies/{self.name}/toxics", {
            "name": name, "type": kind, "stream": stream, "attributes": attributes})
        self._toxics.append(name)

