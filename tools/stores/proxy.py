"""A proxy in front of a store: it counts requests, checks signatures in URLs, and lets a test act between requests."""

import contextlib
import hashlib
import hmac
import http.client
import http.server
import threading
import urllib.parse

from common import expect_equal

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


class Call:
    """A request, and what was sent back."""

    def __init__(self, method, target, headers):
        self.method, self.headers = method, headers
        self.url = urllib.parse.urlsplit(target)
        self.query = dict(urllib.parse.parse_qsl(self.url.query, keep_blank_values=True))
        self.status, self.received, self.sent = None, 0, 0

    @property
    def key(self):
        """What follows the bucket, if anything does."""
        return urllib.parse.unquote(self.url.path).partition("/")[2].partition("/")[2]

    def __repr__(self):
        return f"{self.method} {self.key} {sorted(self.query)} {self.status}"


class Proxy:
    """Forwards to `port` of this machine. `on_call` may answer a call itself, with a status and a body."""

    def __init__(self, port, secret):
        self.port, self.secret = port, secret
        self.calls, self.on_call, self.lock = [], None, threading.Lock()

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def take(self):
        """The calls since the last time."""
        with self.lock:
            calls, self.calls = self.calls, []
        return calls

    def answer(self, call):
        with self.lock:
            self.calls.append(call)
        if "X-Amz-Signature" in call.query:
            check_signature(call, self.secret)
        return self.on_call(call) if self.on_call else None

    def _handler(proxy):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                call = Call(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
                call.received = len(body)
                status, headers, answer = self.exchange(call, body)
                call.status = status
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    call.sent = len(answer)
                    # The client may be gone: some tests end it.
                    with contextlib.suppress(ConnectionError):
                        self.wfile.write(answer)

            def exchange(self, call, body):
                if made_up := proxy.answer(call):
                    status, text = made_up
                    return status, [("Content-Length", str(len(text)))], text.encode()
                connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                names = {name.lower() for name, _ in answer.getheaders()}
                length = [] if "content-length" in names else [("Content-Length", str(len(content)))]
                return answer.status, answer.getheaders() + length, content

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

            def log_message(self, *_):
                pass

        return Handler


def check_signature(call, secret):
    """That the URL is signed by AWS's Signature Version 4, with the headers that came with it."""
    query = sorted(pair for pair in call.query.items() if pair[0] != "X-Amz-Signature")
    encoded = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in query)
    signed = call.query["X-Amz-SignedHeaders"]
    headers = "".join(f"{name}:{call.headers[name].strip()}\n" for name in signed.split(";"))
    request = "\n".join([call.method, call.url.path, encoded, headers, signed, "UNSIGNED-PAYLOAD"])
    scope = call.query["X-Amz-Credential"].split("/", 1)[1]
    text = "\n".join(
        ["AWS4-HMAC-SHA256", call.query["X-Amz-Date"], scope, hashlib.sha256(request.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in [*scope.split("/"), text]:
        key = hmac.digest(key, part.encode(), "sha256")
    expect_equal(call.query["X-Amz-Signature"], key.hex(), f"{call}: the signature")
    unsigned = [name for name in call.headers if name.startswith("x-amz-") and name not in signed.split(";")]
    expect_equal(unsigned, [], f"{call}: headers that are not signed")


def quoted(text):
    return urllib.parse.quote(text, safe="-_.~")
