#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""focal-web as a browser, and as an attacker, meets it: against a real publisher whose sound is known.
usage: test_web.py FOCAL_WEB SPEAKER"""
import os, re, shutil, signal, socket, struct, subprocess, sys, tempfile, time

from client import (Failure, Promises, Socket, Web, check, exchange, request, start_speaker, wait_until)

HOP = 43 * 186


def pcm_at(n):
    return ((n * 7919 + n // 65536 * 104729) % 65536) / 65536 - 0.5


def the_page_comes_whole_and_compressed(web):
    status, headers, body = request(web, "/")
    check(status == 200 and b"<title>focald" in body, f"{status}")
    check("default-src 'none'" in headers["content-security-policy"], "no policy")
    packed = request(web, "/main.js", Accept_Encoding="gzip")
    plain = request(web, "/main.js")
    check(packed[1].get("content-encoding") == "gzip", "not compressed")
    import gzip
    check(gzip.decompress(packed[2]) == plain[2], "the compressed file is another")
    again = request(web, "/main.js", If_None_Match=plain[1]["etag"])
    check(again[0] == 304 and again[2] == b"", f"{again[0]}")
    check(request(web, "/", "HEAD")[2] == b"", "HEAD has a body")


def everything_a_page_needs_at_first_is_under_300_kb(web):
    total, todo, seen = 0, ["/"], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        status, _, body = request(web, path)
        check(status == 200, f"{path}: {status}")
        total += len(body)
        text = body.decode()
        for mark in ('href="/', 'src="/', "from './", "addModule('/"):
            for part in text.split(mark)[1:]:
                name = part.split("'")[0].split('"')[0]
                if "." in name:
                    todo.append("/" + name)
    print(f"     {len(seen)} files, {total} bytes uncompressed")
    check(len(seen) > 15, f"only {seen}")
    check(total < 300_000, f"{total}")


def paths_never_lead_out(web):
    own = [request(web, "/")[2], request(web, "/style.css")[2]]
    for path in ("/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/history/1/../../../etc/passwd",
                 "/history/../1/input.flac", "/history/1/..%2f..%2fhistory.db", "//etc/passwd", "/page.c",
                 "/history/99999999999999999999/input.flac", "/history/-1/input.flac", "/history/1/history.db",
                 "/style.css/../../server.c", "/%00", "/style.css%00.js"):
        status, _, body = request(web, path)
        # libwebsockets ends a path at a NUL: "/%00" is the page itself
        check(status in (0, 400, 403, 404) or (status == 200 and body in own and "%00" in path), f"{path}: {status}")
        check(b"root:" not in body and b"SQLite" not in body, path)


def what_is_no_request_is_refused(web):
    check(request(web, "/", "PUT", b"x")[0] in (0, 405), "PUT")
    check(request(web, "/", "DELETE")[0] in (0, 405), "DELETE")
    check(request(web, "/nothing", "POST", b"a=b")[0] == 405, "POST")
    check(request(web, "/login", "POST", b"p" * 5000)[0] in (0, 413), "a long form")
    check(exchange(web, b"\x00\xff\x13nonsense\r\n\r\n")[0] in (0, 400, 403, 405), "nonsense")
    check(exchange(web, b"GET / HTTP/1.1\r\nHost: " + web.host().encode() + b"\r\nX: " + b"a" * 20000 +
                   b"\r\n\r\n")[0] in (0, 400, 431), "a long header")
    check(request(web, "/healthz")[2] == b"ok\n", "it is well after all that")


def another_site_is_refused(web):
    check(request(web, "/", Host="evil.example")[0] == 403, "a foreign Host")
    check(request(web, "/api/history", Origin="http://evil.example")[0] == 403, "a foreign Origin")
    check(request(web, "/api/history", Sec_Fetch_Site="cross-site")[0] == 403, "cross-site")
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"},
                    {"Origin": f"http://localhost:{web.port}"}, {"Origin": "http://" + "a" * 400}):
        s = Socket(web, **headers)
        check(s.status == 403, f"{headers}: {s.status}")
        s.close()
    s = Socket(web, Origin=f"http://{web.host()}")
    check(s.status == 101, f"our own page: {s.status}")
    s.close()
    for protocol in (None, "chat", "http", "signals"):
        s = Socket(web, protocol=protocol)
        check(s.status == 400, f"protocol {protocol}: {s.status}")
        s.close()


def a_viewer_gets_pictures_and_the_exact_sound(web):
    s = Socket(web)
    s.send({"cmd": "watch"})
    s.send({"cmd": "listen", "stream": "room0"})
    hello, _ = s.until(lambda h: h.get("kind") == "hello")
    check(hello["knobs"] is True and hello["history"] is True, f"{hello}")
    seen, ends = {}, {}
    while not ({"info", "health", "label", "spec", "map", "mask", "level", "event"} <= seen.keys() and
               seen.get("input", 0) >= 3 and seen.get("audio", 0) >= 3):
        header, payload = s.packet()
        topic = header["topic"]
        seen[topic] = seen.get(topic, 0) + 1
        if topic in ("input", "audio"):
            check(header["first"] == ends.get(topic, header["first"]), f"{topic} is not contiguous")
            ends[topic] = header["first"] + header["count"]
            scale = 1 if topic == "input" else 0.5
            got = struct.unpack(f"<{HOP}f", payload)
            for i in range(HOP):
                if got[i] != pcm_at(header["first"] + i) * scale:
                    raise Failure(f"{topic} differs at {header['first'] + i}")
        elif topic == "spec":
            check_spec(header, payload)
        elif topic == "map":
            check(header["shape"] == [7, 7] and struct.unpack("<49f", payload) ==
                  tuple(float(i // 7 + i % 7) for i in range(49)), "the map is another")
        elif topic == "level":
            check_level(header, payload)
        elif topic in ("label", "mask"):
            check(payload == b"", f"{topic} has a payload")
    s.close()


def check_spec(header, payload):
    """dB of full scale: 20 log10((e^v - 1) peak / 100.44), by design.md's window."""
    import math
    check(header["shape"] == [43, 513] and len(payload) == 43 * 513, "shape")
    for f in range(43):
        wanted = 20 * math.log10(math.expm1(1 + f % 5) * 0.5 / (0.54 * 372 / 2))
        for value in (payload[f * 513], payload[f * 513 + 512]):
            got = header["db_from"] + value * header["db_step"]
            check(abs(got - wanted) <= 0.6 * header["db_step"], f"frame {f}: {got} dB, not {wanted}")


def check_level(header, payload):
    import math
    values = struct.unpack(f"<{len(payload) // 4}f", payload)
    for i in range(header["shape"][0]):
        block = [pcm_at(n) for n in range(header["first"] + 320 * i,
                                          min(header["first"] + 320 * (i + 1), header["first"] + header["count"]))]
        rms = math.sqrt(sum(x * x for x in block) / len(block))
        check(values[2 * i] == max(map(abs, block)), "peak")
        check(abs(values[2 * i + 1] - rms) <= 1e-5, "rms")


def a_late_viewer_sees_the_last_seconds_at_once(web):
    first = Socket(web)
    first.send({"cmd": "watch"})
    for _ in range(4):
        first.until(lambda h: h["topic"] == "spec")
    late = Socket(web)
    late.send({"cmd": "watch"})
    header, _ = late.until(lambda h: h["topic"] == "spec")
    newest, _ = first.until(lambda h: h["topic"] == "spec")
    check(newest["seq"] - header["seq"] >= 2, "it began with the present")
    first.close()
    late.close()


def who_does_not_watch_gets_no_pictures(web):
    s = Socket(web)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        header, _ = s.packet()
        check(header["topic"] in ("web", "info", "health", "event"), header["topic"])
    s.send({"cmd": "watch", "streams": ["elsewhere"]})
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        header, _ = s.packet()
        check(header["topic"] in ("web", "info", "health", "event"), header["topic"])
    s.close()


def all_streams_but_one_may_be_watched_by_name(web):
    """As a page asks that hides one: focald has 32 at most, their names 63 characters."""
    s = Socket(web)
    s.send({"cmd": "watch", "id": 8, "streams": [f"{i:063d}" for i in range(31)] + ["room0"]})
    header, _ = s.until(lambda h: h["topic"] == "spec")
    check(header["stream"] == "room0", f"{header}")
    s.close()


def a_knob_reaches_focald_and_every_page(web):
    a, b = Socket(web), Socket(web)
    a.send({"cmd": "set", "key": "quantile", "value": "0.8", "id": 5})
    reply, _ = a.until(lambda h: h["topic"] == "reply")
    check(reply["ok"] and reply["id"] == 5 and reply["values"] == {"quantile": "0.8"}, f"{reply}")
    told, _ = b.until(lambda h: h.get("kind") == "values")
    check(told["values"] == {"quantile": "0.8"}, f"{told}")
    a.send({"cmd": "set", "key": "nonsense", "value": "1", "id": 6})
    reply, _ = a.until(lambda h: h["topic"] == "reply")
    check(not reply["ok"] and "no live value" in reply["error"], f"{reply}")
    a.send({"cmd": "reload", "id": 7})
    reply, _ = a.until(lambda h: h["topic"] == "reply")
    check(not reply["ok"] and "allowed" in reply["error"], "only what a page needs goes through")
    a.close()
    b.close()


def a_page_that_shouts_is_disconnected(web):
    for text in (b"x" * 5000, b"not json", b"[]", b'{"cmd":5}'):
        s = Socket(web)
        s.send(text)
        check(s.close_code() in (1008, 1009), f"{text[:10]}")
        s.close()
    s = Socket(web)
    s.send(b" " * 9000)
    code, reason = s.closed()
    check(code == 1009 and re.search(r"at most \d+ bytes", reason), f"{code} {reason}")
    most = int(re.search(r"\d+", reason)[0])
    for n, taken in ((most, True), (most + 1, False)):
        s = Socket(web)
        s.send(b'{"cmd":"time","id":4}'.ljust(n))
        if taken:
            s.until(lambda h: h["topic"] == "reply")
        else:
            check(s.close_code() == 1009, f"{n} bytes are taken, {most} at most by what it says")
        s.close()
    s = Socket(web)
    s.send(b'{"cmd":"watch"}', opcode=2)
    check(s.close_code() in (1008, 1009), "binary")
    s = Socket(web)
    try:
        for _ in range(500):
            s.send({"cmd": "time", "id": 1})
    except OSError:
        pass
    check(s.close_code() in (-1, 0, 1008), "500 commands at once")
    s = Socket(web)
    s.send(b'{"cmd":"ti', last=False)
    s.send(b'me","id":3}', opcode=0)
    reply, _ = s.until(lambda h: h["topic"] == "reply")
    check(reply["id"] == 3, "a command in fragments")
    s.close()


def a_slow_browser_is_thinned_out_and_holds_nobody_up(web):
    slow, fast = Socket(web, receive_bytes=4096), Socket(web)
    for s in (slow, fast):
        s.send({"cmd": "watch"})
        s.send({"cmd": "listen", "stream": "room0"})
    before = None
    end = time.monotonic() + 14
    while time.monotonic() < end:  # `slow` reads nothing meanwhile
        header, _ = fast.packet()
        if header["topic"] == "input":
            check(before is None or header["seq"] == before + 1, "the fast one lost sound")
            before = header["seq"]
    fast.close()
    seqs, words = [], 0
    slow.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)  # now it has time, even on a busy machine
    slow.send({"cmd": "time", "id": 9})
    while True:
        header, _ = slow.packet()
        if header["topic"] == "spec":
            seqs.append(header["seq"])
        words += header["topic"] == "event"
        if header["topic"] == "reply":
            break
    check(header["thinned"] > 0, "nothing was left out")
    check(words >= 1, "events were left out before pictures")
    fresh, _ = slow.until(lambda h: h["topic"] == "spec")
    seqs.append(fresh["seq"])
    check(seqs[-1] - seqs[0] + 1 > len(seqs), "the loss does not show in the numbers")
    check(fresh["seq"] >= before - 4, "what comes then is old")
    slow.close()


def too_many_viewers_are_told_so(program, ipc_dir):
    with open(f"{ipc_dir}/web.conf", "w") as file:
        file.write(f"[web]\nlisten = 127.0.0.1:0\nmax_viewers = 2\nmax_connections_each = 8\n"
                   f"[history]\ndir = none\n[focald]\ndata = ipc://{ipc_dir}/data\ncontrol = ipc://{ipc_dir}/control\n")
    web = Web(program, ipc_dir, "--config", f"{ipc_dir}/web.conf")
    a, b, c = Socket(web), Socket(web), Socket(web)
    check((a.status, b.status, c.status) == (101, 101, 503), f"{a.status} {b.status} {c.status}")
    c.close()
    a.close()

    def a_place_is_free():
        try:
            s = Socket(web)
        except ConnectionResetError:  # one connection too many
            return False
        s.close()
        return s.status == 101

    wait_until(a_place_is_free, "a place after one left")
    more = [web.connect() for _ in range(12)]
    refused = 0
    for s in more:
        s.settimeout(2)
        try:
            refused += s.recv(1) == b""
        except ConnectionResetError:
            refused += 1
        except TimeoutError:
            pass
    check(4 <= refused <= 11, f"{refused} of 12 connections too many were refused")
    b.close()
    for s in more:
        s.close()

    def it_answers():
        try:
            return request(web, "/healthz")[0] == 200
        except ConnectionResetError:
            return False

    wait_until(it_answers, "connections come back")
    check(request(web, "/api/history")[0] == 404, "a history where none is served")
    web.stop()


def a_password_opens_and_nothing_else(program, ipc_dir):
    password = f"{ipc_dir}/password"
    made = subprocess.run([program, "--set-password", password], input="correct horse\n", text=True, capture_output=True)
    check(made.returncode == 0 and os.stat(password).st_mode & 0o777 == 0o600, made.stderr)
    short = subprocess.run([program, "--set-password", password + "2"], input="short\n", text=True, capture_output=True)
    check(short.returncode != 0 and not os.path.exists(password + "2"), "a short password")
    key, certificate = f"{ipc_dir}/key.pem", f"{ipc_dir}/cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=test"], check=True, capture_output=True)
    web = Web(program, ipc_dir, "--listen", "0.0.0.0:0", "--certificate", certificate, "--private-key", key,
              "--password-file", password)
    check(web.tls, "not https")
    status, headers, _ = request(web, "/")
    check((status, headers.get("location")) == (303, "/login"), f"{status}")
    check(request(web, "/login")[0] == 200 and request(web, "/style.css")[0] == 200, "the login page")
    for path in ("/main.js", "/api/history", "/history/1/input.flac"):
        check(request(web, path)[0] == 401, path)
    s = Socket(web)
    check(s.status == 401, f"WebSocket without a session: {s.status}")
    wrong = request(web, "/login", "POST", b"password=wrong+horse")
    check(wrong[1]["location"] == "/login?wrong" and "set-cookie" not in wrong[1], "a wrong password")
    right = request(web, "/login", "POST", b"password=correct+horse")
    cookie = right[1]["set-cookie"].split(";")[0]
    check(all(x in right[1]["set-cookie"] for x in ("HttpOnly", "SameSite", "Secure")), right[1]["set-cookie"])
    check(request(web, "/", Cookie=cookie)[0] == 200, "with a session")
    check(request(web, "/", Cookie=cookie, Origin="https://evil.example")[0] == 403, "with it, from elsewhere")
    s = Socket(web, Cookie=cookie, Origin=f"https://{web.host()}")
    check(s.status == 101, f"{s.status}")
    s.until(lambda h: h.get("kind") == "hello" and h["password"])
    s.close()
    guesses = [web.connect() for _ in range(8)]  # at once: an answer takes its time
    for s in guesses:
        s.sendall(f"POST /login HTTP/1.1\r\nHost: {web.host()}\r\nContent-Length: 20\r\n\r\npassword=wrong+horse".encode())
    statuses = [int(s.recv(65536).split()[1]) for s in guesses]
    check(429 in statuses, f"guessing is not slowed: {statuses}")
    web.stop()


def a_new_password_ends_the_sessions_of_the_old(program, ipc_dir):
    password = f"{ipc_dir}/password"

    def say(text):
        subprocess.run([program, "--set-password", password], input=text + "\n", text=True, check=True)

    def log_in(web, text):
        return request(web, "/login", "POST", b"password=" + text)[1].get("set-cookie", "").split(";")[0]

    say("correct horse")
    web = Web(program, ipc_dir, "--password-file", password)
    cookie = log_in(web, b"correct+horse")
    s = Socket(web, Cookie=cookie)
    check(s.status == 101, f"{s.status}")
    say("battery staple")
    wait_until(lambda: request(web, "/", Cookie=cookie)[0] == 303, "the old session's end")
    s.close_code()  # it ends, too
    check(log_in(web, b"correct+horse") == "", "the old password goes on")
    cookie = log_in(web, b"battery+staple")
    check(request(web, "/", Cookie=cookie)[0] == 200, "the new password")
    os.unlink(password)
    wait_until(lambda: "the password before holds" in web.errors(), "a line about the file")
    check(request(web, "/", Cookie=cookie)[0] == 200 and request(web, "/")[0] == 303, "without the file")
    web.stop()


def replies(web, *pieces):
    """Sends pieces, one after the other, and reads until the connection ends, for 5 s at most."""
    data = b""
    with web.connect() as s:
        try:
            for piece in pieces:
                s.sendall(piece)
                time.sleep(0.02)
            s.settimeout(5)
            while piece := s.recv(65536):
                data += piece
        except ConnectionResetError:
            pass
        except TimeoutError:
            raise Failure(f"the connection goes on: {data[:200]}")
    return data


def bytes_behind_a_request_end_its_connection(program, ipc_dir):
    password = f"{ipc_dir}/password"
    subprocess.run([program, "--set-password", password], input="correct horse\n", text=True, check=True)
    web = Web(program, ipc_dir, "--password-file", password)
    post = f"POST /login HTTP/1.1\r\nHost: {web.host()}\r\nContent-Length: 20\r\n\r\npassword=wrong+horse".encode()
    before = web.cpu_s()
    check(replies(web, post + b"x" * 1000).count(b"HTTP/1.1 ") <= 1, "one login was answered several times")
    check(replies(web, post, b"x").count(b"HTTP/1.1 ") <= 1, "one login was answered several times, later")
    check(web.cpu_s() - before < 2, "it was busy with nothing")
    right = request(web, "/login", "POST", b"password=correct+horse")
    check("set-cookie" in right[1], f"after that: {right}")
    file = (f"GET /history/1/input.flac HTTP/1.1\r\nHost: {web.host()}\r\nContent-Length: 5\r\n"
            f"Cookie: {right[1]['set-cookie'].split(';')[0]}\r\n\r\n").encode()
    check(b"405" not in replies(web, file + b"hello"), "a GET was answered as a POST, too")
    web.stop()


def it_survives_focalds_absence(program, ipc_dir, speaker):
    process = start_speaker(speaker, ipc_dir, 2)
    web = Web(program, ipc_dir)
    s = Socket(web)
    s.send({"cmd": "watch"})
    s.until(lambda h: h["topic"] == "event" and h["stream"] == "room1")
    first, _ = s.until(lambda h: h["topic"] == "spec")
    process.send_signal(signal.SIGKILL)
    process.wait()
    s.until(lambda h: h.get("kind") == "daemon" and not h["here"])
    for name in ("data", "control"):
        if os.path.exists(f"{ipc_dir}/{name}"):
            os.unlink(f"{ipc_dir}/{name}")
    process = start_speaker(speaker, ipc_dir)
    s.until(lambda h: h.get("kind") == "daemon" and h["here"])
    again, _ = s.until(lambda h: h["topic"] == "spec" and h["run"] != first["run"])
    gone, _ = s.until(lambda h: h.get("kind") == "gone")
    check(gone["stream"] == "room1", f"{gone}")
    s.close()
    s = Socket(web)
    streams = set()
    while (header := s.packet()[0]).get("kind") != "daemon":  # the last of what a page gets at first
        streams.add(header.get("stream"))
    check("room0" in streams and "room1" not in streams, f"what is gone comes back: {streams}")
    s.close()
    web.stop()
    process.send_signal(signal.SIGTERM)
    process.wait()


def the_service_manager_hears_how_it_does(program, ipc_dir):
    path = f"{ipc_dir}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = path
        try:
            web = Web(program, ipc_dir)
        finally:
            del os.environ["NOTIFY_SOCKET"]
        check(manager.recv(100) == b"READY=1", "it is not ready")
        for _ in range(3):
            check(manager.recv(100) == b"WATCHDOG=1", "the watchdog is not fed")
        web.process.send_signal(signal.SIGTERM)  # and go on to read: its queue is short
        told = b"WATCHDOG=1"
        while told == b"WATCHDOG=1":
            told = manager.recv(100)
        check(told == b"STOPPING=1", f"{told}")
        web.stop()


def main():
    program, speaker = sys.argv[1:3]
    directory = tempfile.mkdtemp(prefix="focal-web-")
    os.environ["XDG_DATA_HOME"] = directory
    os.environ.pop("FOCALD_DATA", None)
    promises = Promises()
    try:
        ipc = f"{directory}/a"
        os.mkdir(ipc, 0o700)
        process = start_speaker(speaker, ipc)
        web = Web(program, ipc)
        for promise in (the_page_comes_whole_and_compressed, everything_a_page_needs_at_first_is_under_300_kb,
                        paths_never_lead_out, what_is_no_request_is_refused, another_site_is_refused,
                        a_viewer_gets_pictures_and_the_exact_sound, a_late_viewer_sees_the_last_seconds_at_once,
                        who_does_not_watch_gets_no_pictures,
                        all_streams_but_one_may_be_watched_by_name, a_knob_reaches_focald_and_every_page,
                        a_page_that_shouts_is_disconnected, a_slow_browser_is_thinned_out_and_holds_nobody_up):
            promises.run(promise, web)
        promises.run(too_many_viewers_are_told_so, program, ipc)
        promises.run(a_password_opens_and_nothing_else, program, ipc)
        promises.run(a_new_password_ends_the_sessions_of_the_old, program, ipc)
        promises.run(bytes_behind_a_request_end_its_connection, program, ipc)
        promises.run(the_service_manager_hears_how_it_does, program, ipc)
        promises.run(web.stop)
        process.send_signal(signal.SIGTERM)
        process.wait()
        os.mkdir(f"{directory}/b", 0o700)
        promises.run(it_survives_focalds_absence, program, f"{directory}/b", speaker)
    finally:
        shutil.rmtree(directory)
    sys.exit(1 if promises.failed else 0)


main()
