#!/bin/sh
# Makes site/index.html out of page.html.
set -eu

commit=$(printf %.8s "${PELTON_COMMIT:-unknown}")
mkdir -p site
sed -e "s/@COMMIT@/$commit/" -e "s/@DATE@/$(date -u '+%Y-%m-%d %H:%M UTC')/" \
    page.html >site/index.html
echo "made site/index.html: $(wc -c <site/index.html) bytes"
