# SPDX-License-Identifier: Apache-2.0
"""What the tests of focal-web share: the program as a child process, HTTP and WebSockets by hand (so that
they can also be wrong), and promises."""
import atexit, base64, json, os, signal, socket, ssl, struct, subprocess, sys, tempfile, time

PATIENCE_S = 60  # a loaded machine is slow, not wrong


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def wait_until(condition, text, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"not within {patience_s} s: {text}")
        time.sleep(0.02)


class Web:
    """focal-web at a port of its own, with a speaker's endpoints."""

    def __init__(self, program, ipc_dir, *options):
        self.start([program], ["--data", f"ipc://{ipc_dir}/data", "--control", f"ipc://{ipc_dir}/control", *options])

    def start(self, command, options=(), **environment):
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [*command, "--config", "/dev/null", "--listen", "127.0.0.1:0", *options],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **environment})
        atexit.register(self.process.kill)  # also when a promise is broken
        line = self.process.stdout.readline()
        if "://" not in line:
            self.process.wait()
            raise Failure(f"focal-web did not start: {self.errors()}")
        self.port = int(line.rsplit(":", 1)[1])
        self.tls = "https" in line

    def errors(self):
        self.log.seek(0)
        return self.log.read()

    def connect(self, receive_bytes=None):
        s = socket.socket()
        if receive_bytes:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        s.settimeout(PATIENCE_S)
        s.connect(("127.0.0.1", self.port))
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            s = context.wrap_socket(s)
        return s

    def host(self):
        return f"127.0.0.1:{self.port}"

    def cpu_s(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        text = self.errors()
        check(code == 0, f"focal-web ended with {code}: {text}")
        check("ERROR" not in text, text)


def exchange(web, request, body_of_head=False):
    """Sends bytes, reads one response: (status, headers, body)."""
    with web.connect() as s:
        s.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(65536)
            if not piece:
                return (0, {}, data)
            data += piece
        head, body = data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        while not body_of_head and len(body) < int(headers.get("content-length", 0)):
            piece = s.recv(65536)
            if not piece:
                break
            body += piece
        return (int(lines[0].split()[1]), headers, body)


def request(web, path, method="GET", body=b"", **headers):
    lines = {"Host": web.host(), **{k.replace("_", "-"): v for k, v in headers.items()}}
    if body or method == "POST":
        lines["Content-Length"] = str(len(body))
    text = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None)
    return exchange(web, text.encode() + b"\r\n" + body, method == "HEAD")


class Socket:
    """A WebSocket. What comes is (header, payload) of focal-web's packets."""

    def __init__(self, web, protocol="focal", receive_bytes=None, **headers):
        self.s = web.connect(receive_bytes)
        lines = {"Host": web.host(), "Upgrade": "websocket", "Connection": "Upgrade",
                 "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Version": "13",
                 **{k.replace("_", "-"): v for k, v in headers.items()}}
        if protocol:
            lines["Sec-WebSocket-Protocol"] = protocol
        self.s.sendall(("GET / HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n").encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            piece = self.s.recv(65536)
            if not piece:
                break
            self.data += piece
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        self.status = int(head.split()[1]) if head else 0

    def send(self, command, opcode=1, last=True):
        text = command if isinstance(command, bytes) else json.dumps(command).encode()
        mask = os.urandom(4)
        n = len(text)
        length = bytes([0x80 | n]) if n < 126 else bytes([0x80 | 126]) + struct.pack(">H", n)
        if n > 65535:
            length = bytes([0x80 | 127]) + struct.pack(">Q", n)
        self.s.sendall(bytes([(0x80 if last else 0) | opcode]) + length + mask +
                       bytes(b ^ mask[i % 4] for i, b in enumerate(text)))

    def need(self, n):
        while len(self.data) < n:
            piece = self.s.recv(1 << 20)
            if not piece:
                raise EOFError
            self.data += piece

    def frame(self):
        """One frame: (opcode, bytes)."""
        self.need(2)
        n, at = self.data[1] & 127, 2
        if n >= 126:
            size = 2 if n == 126 else 8
            self.need(2 + size)
            n, at = int.from_bytes(self.data[2:2 + size], "big"), 2 + size
        self.need(at + n)
        opcode, last, body = self.data[0] & 15, self.data[0] & 128, self.data[at:at + n]
        self.data = self.data[at + n:]
        return opcode, last, body

    def packet(self):
        whole = b""
        while True:
            opcode, last, body = self.frame()
            if opcode == 8:
                raise EOFError(int.from_bytes(body[:2], "big"), body[2:].decode())
            if opcode == 9:
                self.send(body, opcode=10)
            if opcode >= 8:
                continue
            whole += body
            if last:
                break
        n = int.from_bytes(whole[:4], "little")
        return json.loads(whole[4:4 + n]), whole[4 + n:]

    def until(self, wanted, patience_s=PATIENCE_S):
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            header, payload = self.packet()
            if wanted(header):
                return header, payload
        raise Failure("the packet that was waited for did not come")

    def close_code(self):
        return self.closed()[0]

    def closed(self):
        """How the server closed it: (code, reason)."""
        try:
            while True:
                self.packet()
        except EOFError as end:
            return end.args or (0, "")
        except ConnectionResetError:
            return -1, ""

    def close(self):
        self.s.close()


class Promises:
    def __init__(self):
        self.failed = 0

    def run(self, function, *arguments):
        name = function.__name__
        try:
            function(*arguments)
            print(f"ok   {name}", flush=True)
        except (Failure, EOFError, OSError, KeyError, ValueError) as error:
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__} {error}", flush=True)


def start_speaker(program, ipc_dir, streams=1):
    process = subprocess.Popen([program, ipc_dir, str(streams)])
    atexit.register(process.kill)
    wait_until(lambda: os.path.exists(f"{ipc_dir}/control"), "the speaker's sockets")
    return process
