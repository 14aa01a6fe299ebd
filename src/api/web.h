/* The page's files, embedded at build time by tools/embed.py. */
#pragma once

#include <stddef.h>

typedef struct WebAsset {
    const char *name, *type, *etag;
    const void *data;
    size_t len;
} WebAsset;

extern const WebAsset web_assets[];
extern const size_t web_asset_count;
