/* What people write who come from other systems, and what is said here instead: for messages. Within the
 * room. */
#pragma once

#include "pipeline/lang.h"

/* What to do about a key that the level does not have: a sentence without its end; NULL: nothing is known of
 * it. */
const char *elsewhere_key(const LangLevel *level, const YamlPair *pair);
/* About a word that a key does not take: "actions/checkout@v4" of `uses`. */
const char *elsewhere_word(const LangKey *key, const char *word);
/* About a name or a function of an expression. */
const char *elsewhere_name(const char *name);
