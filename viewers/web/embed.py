#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py OUT.c FILE...: the files of the page as C arrays, plain and compressed. index.html is "/"."""
import gzip, hashlib, os, sys

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
         ".webmanifest": "application/manifest+json"}


def array(name, data):
    rows = (",".join(map(str, data[i:i + 32])) for i in range(0, len(data), 32))
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "};\n"


out, files = sys.argv[1], sys.argv[2:]
text = '/* SPDX-License-Identifier: Apache-2.0\n * Made by embed.py. */\n'
text += '#include "viewers/web/asset.h"\n\n#include <string.h>\n\n'
rows = []
for i, file in enumerate(sorted(files)):
    data = open(file, "rb").read()
    packed = gzip.compress(data, 9, mtime=0)
    name = os.path.basename(file)
    path = {"index.html": "/", "login.html": "/login"}.get(name, "/" + name)
    text += array(f"plain_{i}", data) + array(f"gzip_{i}", packed)
    etag = '\\"' + hashlib.sha256(data).hexdigest()[:16] + '\\"'
    rows.append(f'    {{"{path}", "{TYPES[os.path.splitext(name)[1]]}", "{etag}", plain_{i}, gzip_{i},'
                f' {len(data)}, {len(packed)}}},\n')
text += "\nconst struct asset assets[] = {\n" + "".join(rows) + "};\n"
text += f"const size_t n_assets = {len(rows)};\n"
text += """
const struct asset *asset_find(const char *path)
{
    for (size_t i = 0; i < n_assets; i++)
        if (strcmp(assets[i].path, path) == 0)
            return &assets[i];
    return NULL;
}
"""
with open(out, "w", encoding="utf-8") as file:
    file.write(text)
