/* Inside the room: what a repository's flake offers, out of what runners keep of `uses: nix`. */
#pragma once

#include "build/build.h"

/* As JSON, in mem; NULL: the artifact is no summary, or of no check. */
const char *flake_offers(Builds *b, const Artifact *artifact, const void *mem);
