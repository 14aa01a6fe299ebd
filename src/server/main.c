#include "base/str.h"
#include "base/title.h"
#include "server/verbs.h"

/* A token on the command line is for everybody to read, in the list of processes: for no longer than it takes
 * to copy it. */
static void hide_tokens(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char *token = (char *)str_after(argv[i], "--token=");

        if (str_eq(argv[i], "--token") && i + 1 < argc)
            token = argv[i + 1];
        if (token)
            memset(token, 'x', strlen(token));
    }
}

int main(int argc, char **argv) {
    static const Command *const processes[] = {&command_server, &command_runner, &command_release, NULL};
    char **copy = mem_array(NULL, char *, (size_t)argc + 1);
    int status;

    for (int i = 0; i < argc; i++)
        copy[i] = mem_strdup(copy, argv[i]);
    hide_tokens(argc, argv);
    title_keep(argc, argv);
    status = cli_main(argc, copy, processes);
    talloc_free(copy);
    return status;
}
