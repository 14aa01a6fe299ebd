#!/usr/bin/env python3
"""Writes a C file with the given files as constant arrays: embed.py OUTPUT FILE..."""
import hashlib
import os
import sys

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


def main(output, paths):
    arrays, rows = [], []
    for number, path in enumerate(paths):
        with open(path, "rb") as f:
            data = f.read()
        text = ",".join(str(b) for b in data)
        arrays.append(f"static const unsigned char asset{number}[] = {{{text}}};\n")
        name = os.path.basename(path)
        etag = hashlib.sha256(data).hexdigest()[:16]
        kind = TYPES[os.path.splitext(name)[1]]
        rows.append(f'    {{"{name}", "{kind}", "\\"{etag}\\"", asset{number}, sizeof(asset{number})}},\n')
    with open(output, "w") as f:
        f.write('#include "api/web.h"\n\n')
        f.writelines(arrays)
        f.write("\nconst WebAsset web_assets[] = {\n")
        f.writelines(rows)
        f.write("};\n")
        f.write("const size_t web_asset_count = sizeof(web_assets) / sizeof(web_assets[0]);\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
