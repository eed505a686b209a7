import json, os, subprocess, sys, zmq
runtime = os.environ.get("XDG_RUNTIME_DIR", "/run")
stream = sys.argv[1] if len(sys.argv) > 1 else ""
sub = zmq.Context().socket(zmq.SUB)
sub.connect(os.environ.get("FOCALD_DATA", f"ipc://{runtime}/focald/data"))
sub.subscribe("label/" + stream)
sub.subscribe("audio/" + stream)
play = subprocess.Popen("aplay -q -t raw -f FLOAT_LE -r 16000 -c 1".split(), stdin=subprocess.PIPE)
while True:
    topic, header, payload = sub.recv_multipart()
    if topic.startswith(b"audio/"):
        play.stdin.write(payload)
        play.stdin.flush()
    for top in json.loads(header).get("top", [])[:1]:
        print(f"{top['p']:4.0%} {top['label']}", flush=True)
