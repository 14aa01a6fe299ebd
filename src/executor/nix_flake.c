#include "executor/nix_flake.h"

#include <stdio.h>

static const struct {
    const char *key, *shown;
    bool by_system;
} outputs[] = {
    {"packages", "packages", true},
    {"checks", "checks", true},
    {"apps", "apps", true},
    {"dev_shells", "devShells", true},
    {"nixos_modules", "nixosModules", false},
};

static void write_names(JsonWriter *w, const char *system, json_t *names, size_t *left) {
    const char *name;
    char full[512];
    json_t *value;

    json_object_foreach (names, name, value) {
        if (*left == 0)
            return;
        --*left;
        snprintf(full, sizeof(full), "%s%s%s", system, *system ? "." : "", name);
        jw_str(w, NULL, full);
    }
}

void nix_flake_write(JsonWriter *w, const char *key, const json_t *metadata, const json_t *show) {
    const char *system;
    json_t *names;

    jw_object(w, key);
    jw_str(w, "description", json_string_value(json_object_get(metadata, "description")));
    for (size_t i = 0; i < ELEMENTS(outputs); i++) {
        json_t *shown = json_object_get(show, outputs[i].shown);
        size_t left = NIX_FLAKE_NAMES;

        jw_array(w, outputs[i].key);
        if (!outputs[i].by_system)
            write_names(w, "", shown, &left);
        else
            json_object_foreach (shown, system, names)
                write_names(w, system, names, &left);
        jw_end_array(w);
    }
    jw_end_object(w);
}
