#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""focal-web's history: replies are as the document says, and from a slow disk files come whole and nobody waits for another's.
usage: test_web_history.py FOCAL_WEB FOCAL_RECORD SLOW_DISK"""
import json, os, random, re, shutil, signal, sqlite3, struct, subprocess, sys, tempfile, threading, time

from client import Promises, Web, check, request, wait_until

DOCUMENT = os.path.join(os.path.dirname(__file__), "../../../docs/web.md")
BYTES = 700_001  # three large reads
LONG = 5_000_000  # ten seconds of them


def make_history(record, directory, sound):
    """The recorder's own database, with one row more."""
    environment = {**os.environ, "FOCALD_DATA": f"ipc://{directory}/nobody", "LD_PRELOAD": ""}
    process = subprocess.Popen([record, "--config", "/dev/null", "--dir", directory, "run"],
                               env=environment, stderr=subprocess.DEVNULL)
    path = f"{directory}/history.db"

    def has_tables():
        if not os.path.exists(path):
            return False
        with sqlite3.connect(path) as db:
            return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'model'").fetchall())

    wait_until(has_tables, "a database")
    process.send_signal(signal.SIGTERM)
    process.wait()
    os.makedirs(f"{directory}/clips", exist_ok=True)
    with open(f"{directory}/clips/one.flac", "wb") as f:
        f.write(sound)
    with open(f"{directory}/clips/long.flac", "wb") as f:
        f.truncate(LONG)
    now = time.time_ns()
    with sqlite3.connect(path) as db:
        for i, (name, size) in enumerate((("one", len(sound)), ("long", LONG))):
            db.execute("INSERT INTO event (kind, stream, run, event, label, label_index, p_peak, t_onset_ns, onset,"
                       " t_first_ns, first, count, cut, input_file, bytes, lost) VALUES ('event', 'yard', 1, ?, 'rooster',"
                       " 1, 0.9, ?, 0, ?, 0, 80000, 0, ?, ?, 0)", (i, now, now, f"clips/{name}.flac", size))


def documented(part):
    """The fields that the document's tables list under a heading, and the rows that a field is said to have."""
    text = open(DOCUMENT, encoding="utf-8").read().partition(f"\n### {part}\n")[2]
    fields, rows = set(), {}
    for line in re.split(r"\n##|\nThe database", text)[0].splitlines():
        cells = line.split(" | ")
        names = re.findall(r"`([a-z_]+)`", cells[0])
        fields.update(names)
        if len(cells) == 2 and cells[1].startswith("rows of "):
            rows[names[0]] = set(re.findall(r"`([a-z_]+)`", cells[1].split(";")[0].split(", as")[0]))
    return fields, rows


def replies_have_the_fields_that_the_document_lists(web, directory):
    now = time.time_ns()
    with sqlite3.connect(f"{directory}/history.db") as db:
        db.execute("INSERT INTO model VALUES ('h', 'm', 'a', 'modulation', '[\"dog\", \"rooster\"]')")
        db.execute("UPDATE event SET model_hash = 'h', scores = ? WHERE id = 1", (struct.pack("<6f", *[0.5] * 6),))
        db.execute("INSERT INTO gap VALUES (1, 'input', 'private', 0, 10, 0)")
        db.execute("INSERT INTO listening (stream, run, t_from_ns, t_to_ns) VALUES ('yard', 1, ?, ?)", (now, now + 10**9))
        db.execute("INSERT INTO tally VALUES ('yard', 'rooster', ?, 2, 2, 0, 0, 0)", (now // 10**9 // 3600 * 3600,))

    def ask(path):
        status, _, body = request(web, path)
        check(status == 200, f"{path}: {status} {body}")
        return json.loads(body)

    fields, rows = documented("A row of `events`")
    event, one = ask("/api/history")["events"][0], ask("/api/history/1")
    check(set(one) == fields, f"event: {set(one) ^ fields}")
    check(set(event) == fields - {"scores", "gaps"}, f"events: {set(event) ^ fields}")
    for name in ("scores", "gaps"):
        check(set(one[name][0]) == rows[name], f"{name}: {set(one[name][0])}, not {rows[name]}")
    check(event["end_ms"] == 0 and event["note"] is None, f"{event}")
    fields = documented("A row of `counts`")[0]
    for by, nothing in (("day", {"label": None, "stream": None, "hour": -1}), ("hour", {"day": None}),
                        ("label", {"day": None, "stream": None}), ("stream", {"label": None})):
        (count,) = ask(f"/api/counts?by={by}")["counts"]
        check(set(count) == fields, f"counts: {set(count) ^ fields}")
        check(count["heard"] == 2 and nothing.items() <= count.items(), f"by {by}: {count}")
    (span,) = ask("/api/listening")["spans"]
    check(set(span) == documented("A row of `spans`")[0], f"spans: {span}")


def a_file_comes_whole_and_in_ranges(web, sound):
    status, headers, body = request(web, "/history/1/input.flac")
    check(status == 200 and headers["content-type"] == "audio/flac" and body == sound, f"{status}, {len(body)} bytes")
    for text, part in (("bytes=0-99", sound[:100]), ("bytes=262143-262145", sound[262143:262146]),
                       ("bytes=100000-600000", sound[100000:600001]), ("bytes=-5", sound[-5:])):
        status, headers, body = request(web, "/history/1/input.flac", Range=text)
        check(status == 206 and body == part, f"{text}: {status}, {len(body)} bytes")
    status, headers, body = request(web, "/history/1/input.flac", "HEAD")
    check(status == 200 and headers["content-length"] == str(len(sound)), f"HEAD: {headers}")


def who_asks_for_other_things_does_not_wait(web, sound):
    found = []
    readers = [threading.Thread(target=lambda: found.append(request(web, "/history/1/input.flac")[2])) for _ in range(2)]
    began = time.monotonic()
    for r in readers:
        r.start()
    longest, n = 0.0, 0
    while any(r.is_alive() for r in readers):
        t = time.monotonic()
        check(request(web, "/style.css")[0] == 200, "the page")
        longest, n = max(longest, time.monotonic() - t), n + 1
        time.sleep(0.02)
    took = time.monotonic() - began
    check(took >= 3, f"the disk was not slow: {took:.1f} s for six large reads")
    # in the loop, each large read would hold everybody for half a second
    check(longest < 0.4, f"an answer took {longest:.2f} s, of {n}")
    check(found == [sound, sound], "the files")


def who_leaves_during_a_read_is_forgotten(web, sound):
    for _ in range(4):
        s = web.connect()
        s.sendall(f"GET /history/1/input.flac HTTP/1.1\r\nHost: {web.host()}\r\n\r\n".encode())
        s.recv(100)
        s.close()
    check(request(web, "/history/1/input.flac")[2] == sound, "the next one's file")
    wait_until(lambda: open_clips(web) == 0, f"{open_clips(web)} files stay open")


def open_clips(web):
    fds = f"/proc/{web.process.pid}/fd"
    n = 0
    for fd in os.listdir(fds):
        try:
            n += os.readlink(f"{fds}/{fd}").endswith(".flac")
        except FileNotFoundError:
            pass
    return n


def a_file_that_was_cut_ends_the_connection(web, directory, sound):
    with open(f"{directory}/clips/one.flac", "r+b") as f:
        answer = exchange_slowly(web, lambda: f.truncate(1000))
    check(len(answer) < len(sound), "more came than was there")
    check(request(web, "/healthz")[0] == 200, "it goes on")


def who_takes_a_long_time_gets_all_of_it(web):
    began = time.monotonic()
    answer = exchange_slowly(web, lambda: time.sleep(10), event=2)
    took = time.monotonic() - began
    check(took > 15, f"it took only {took:.1f} s")
    check(len(answer) > LONG, f"{len(answer)} bytes after {took:.1f} s")


def a_day_has_what_is_counted_of_it(web, directory):
    """The browser may be in another zone, this test's is: a day is focal-web's."""
    hour = 3600
    begin = 1_700_000_000 // hour * hour
    with sqlite3.connect(f"{directory}/history.db") as db:
        for i in range(50):
            t = begin + i * hour
            db.execute("INSERT INTO event (kind, stream, run, event, label, label_index, p_peak, t_onset_ns, onset,"
                       " t_first_ns, first, count, cut, bytes, lost) VALUES ('event', 'zone', 1, ?, 'dog', 1, 0.9, ?, 0, ?,"
                       " 0, 1, 0, 0, 0)", (i, (t + 1800) * 10**9, (t + 1800) * 10**9))
            db.execute("INSERT INTO tally VALUES ('zone', 'dog', ?, 1, 1, 0, 0, 0)", (t,))
    _, _, body = request(web, "/api/counts?by=day&stream=zone")
    counts = {c["day"]: c["heard"] for c in json.loads(body)["counts"]}
    check(sum(counts.values()) == 50 and sorted(counts.values())[-1] == 24, f"{counts}")
    for day, n in counts.items():
        _, _, body = request(web, f"/api/history?stream=zone&limit=200&day={day}")
        check(len(json.loads(body)["events"]) == n, f"{day}: {n} counted, {len(json.loads(body)['events'])} listed")
    for day in ("yesterday", "2026-13-01", "2026-11-28x", "2026-02-31", "2026-02-29", "2026-11-28-and-more"):
        check(request(web, f"/api/history?day={day}")[0] == 400, day)
    for day in ("", "2024-02-29"):
        check(request(web, f"/api/history?day={day}")[0] == 200, day)


def a_history_that_is_begun_anew_is_seen(web, record, directory, sound):
    """Its ids begin with 1 again: a page's addresses tell the time too, so that browsers do not show what they kept."""
    _, _, body = request(web, "/api/history/1")
    before = json.loads(body)["first_ms"]
    os.rename(directory, f"{directory}-old")
    check(request(web, "/api/history/1")[0] == 404, "the old one, moved away, is shown")
    os.mkdir(directory)
    make_history(record, directory, sound)
    status, headers, body = request(web, "/api/history/1")
    after = json.loads(body)["first_ms"]
    check(status == 200 and after > before, f"{status}, {after} after {before}")
    status, headers, body = request(web, f"/history/1/input.flac?{after}")
    check(status == 200 and body == sound, f"{status}, {len(body)} bytes")


def exchange_slowly(web, meanwhile, event=1):
    """Reads the headers, does something while the first large read waits for the disk, and reads the rest."""
    with web.connect() as s:
        s.sendall(f"GET /history/{event}/input.flac HTTP/1.1\r\nHost: {web.host()}\r\nConnection: close\r\n\r\n".encode())
        data = s.recv(4096)
        meanwhile()
        while piece := s.recv(65536):
            data += piece
    return data


def main():
    program, record, slow_disk = sys.argv[1:4]
    directory = tempfile.mkdtemp(prefix="focal-web-history-")
    promises = Promises()
    try:
        sound = random.Random(1).randbytes(BYTES)
        make_history(record, directory, sound)
        os.environ["LD_PRELOAD"] = os.path.abspath(slow_disk)
        os.environ["TZ"] = "TST-9"
        web = Web(program, directory, "--history", directory)
        promises.run(replies_have_the_fields_that_the_document_lists, web, directory)
        promises.run(a_file_comes_whole_and_in_ranges, web, sound)
        promises.run(who_asks_for_other_things_does_not_wait, web, sound)
        promises.run(who_leaves_during_a_read_is_forgotten, web, sound)
        promises.run(who_takes_a_long_time_gets_all_of_it, web)
        promises.run(a_file_that_was_cut_ends_the_connection, web, directory, sound)
        promises.run(a_day_has_what_is_counted_of_it, web, directory)
        promises.run(a_history_that_is_begun_anew_is_seen, web, record, directory, sound[::-1])
        promises.run(web.stop)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(f"{directory}-old", ignore_errors=True)
    sys.exit(1 if promises.failed else 0)


main()
