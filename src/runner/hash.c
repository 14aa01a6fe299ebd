/* hash() of an expression: one name for what files of the workspace hold. */
#include "base/file.h"
#include "base/sha256.h"
#include "runner/process.h"
#include "runner/walk.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int add_file(Sha256 *all, int root, const WalkFile *file, Err *err) {
    static unsigned char buffer[64 * 1024];
    unsigned char hash[SHA256_SIZE];
    _cleanup_close_ int fd = -1;
    Sha256 one;
    ssize_t len;
    int r = file_open_beneath(root, file->path, O_RDONLY | O_NONBLOCK, 0, &fd, err);

    if (r < 0)
        return r;
    sha256_init(&one);
    while ((len = read(fd, buffer, sizeof(buffer))) != 0) {
        if (len < 0 && errno != EINTR)
            return err_errno(err, "read %s", file->path);
        if (len > 0)
            sha256_add(&one, buffer, (size_t)len);
    }
    sha256_end(&one, hash);
    sha256_add(all, file->path, strlen(file->path) + 1);
    sha256_add(all, hash, sizeof(hash));
    return 0;
}

int hash_files(void *job_process, const char *const *patterns, const void *mem, const char **ret, Err *err) {
    const JobProcess *j = job_process;
    _cleanup_close_ int root = open(j->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_talloc_ void *scratch = talloc_new(NULL);
    char hex[SHA256_HEX];
    size_t count = 0;
    Sha256 all;
    Walk walk;
    int r = root < 0 ? err_errno(err, "open the workspace") : walk_tree(j->workspace, scratch, &walk, err);

    sha256_init(&all);
    for (size_t i = 0; r == 0 && i < walk.count; i++)
        if (S_ISREG(walk.files[i].mode) && walk_match(patterns, walk.files[i].path)) {
            r = add_file(&all, root, &walk.files[i], err);
            count++;
        }
    if (r < 0)
        return r;
    sha256_end_hex(&all, hex);
    *ret = mem_strdup(mem, count ? hex : "");
    return 0;
}
