/* What a flake offers, as document 3's clients know it. */
#pragma once

#include "base/json.h"

/* Out of `nix flake metadata --json` and `nix flake show --json` (NULL: not known): writes
 * {"description","packages","checks","apps","dev_shells","nixos_modules"}, lists of "SYSTEM.NAME" (a module:
 * its name), each of at most NIX_FLAKE_NAMES. */
void nix_flake_write(JsonWriter *w, const char *key, const json_t *metadata, const json_t *show);

#define NIX_FLAKE_NAMES 1000
