/* Feeds every file of the folders (and every file) named by the arguments to a fuzz target: the corpus is run
 * by each compiler and in each build, without libFuzzer. Fails when there was nothing to feed. */
#include "base/file.h"
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

#define INPUT_MAX ((size_t)8 * 1024 * 1024)

static int feed(const char *path) {
    _cleanup_buf_ Buf input = BUF_INIT;
    unsigned char *exact;
    Err err;

    if (file_read(path, INPUT_MAX, &input, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    /* as big as the input and no more, so that a sanitizer sees the first byte behind it */
    exact = malloc(input.len ? input.len : 1);
    if (!exact)
        abort();
    if (input.len)
        memcpy(exact, input.data, input.len);
    LLVMFuzzerTestOneInput(exact, input.len);
    free(exact);
    return 1;
}

/* Gives the number of files fed, or -1. */
static int feed_folder(const char *path) {
    DIR *dir = opendir(path);
    struct dirent *entry;
    int fed = 0;

    if (!dir)
        return feed(path);
    while (fed >= 0 && (entry = readdir(dir))) {
        _cleanup_talloc_ char *file = mem_printf(NULL, "%s/%s", path, entry->d_name);

        if (entry->d_name[0] != '.')
            fed = feed(file) < 0 ? -1 : fed + 1;
    }
    closedir(dir);
    return fed;
}

int main(int argc, char **argv) {
    int all = 0;

    for (int i = 1; i < argc; i++) {
        int fed = feed_folder(argv[i]);

        if (fed <= 0) {
            fprintf(stderr, "%s: nothing to feed\n", argv[i]);
            return 1;
        }
        all += fed;
    }
    printf("%d inputs\n", all);
    return all > 0 ? 0 : 1;
}
