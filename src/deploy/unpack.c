/* The release's archive, unpacked as the release's own user by a process of its own: libarchive reads what
 * strangers wrote, and is loaded only here. */
#include "base/str.h"
#include "base/untar.h"
#include "deploy/release.h"
#include <grp.h>
#include <sys/stat.h>

#define ENTRIES_MAX 500000
#define BYTES_MAX (INT64_C(4) << 30)
#define KEEP_FREE (UINT64_C(256) << 20)

/* Folders below the root that a relative path ends in; negative: it leaves the root. */
static int depth_of(const char *path, int depth) {
    while (*path) {
        size_t len = strcspn(path, "/");

        if (len == 2 && path[0] == '.' && path[1] == '.')
            depth--;
        else if (len > 0 && !(len == 1 && path[0] == '.'))
            depth++;
        if (depth < 0)
            return depth;
        path += len;
        path += strspn(path, "/");
    }
    return depth;
}

/* Inside the sandbox a link to the system leads to its read-only copy of it (a virtual environment's python).
 */
static bool link_stays(const char *path, const char *target) {
    static const char *const system[] = {"/usr/", "/bin/", "/lib/", NULL};
    const char *slash = strrchr(path, '/');
    _cleanup_talloc_ char *folder = mem_strndup(NULL, path, slash ? (size_t)(slash - path) : 0);

    if (target[0] != '/')
        return depth_of(target, depth_of(folder, 0)) >= 0;
    for (const char *const *s = system; *s; s++)
        if (str_after(target, *s))
            return !untar_has_parent(target);
    return false;
}

/* Into the folder, and then to its owner: what the archive holds is done with the release's rights only. */
static int enter(const char *files, Err *err) {
    struct stat st;

    if (chdir(files) < 0 || stat(".", &st) < 0)
        return err_errno(err, "%s", files);
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
                           setresuid(st.st_uid, st.st_uid, st.st_uid) < 0))
        return err_errno(err, "become user %u", (unsigned)st.st_uid);
    return 0;
}

int release_unpack_main(const char *dir) {
    _cleanup_talloc_ char *files = mem_printf(NULL, "%s/files", dir);
    static const UntarOptions options = {.what = "release",
                                         .bytes_max = BYTES_MAX,
                                         .entries_max = ENTRIES_MAX,
                                         .keep_free = KEEP_FREE,
                                         .link_ok = link_stays};
    Err err;

    umask(022);
    if (enter(files, &err) == 0 && untar(STDIN_FILENO, &options, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.msg);
    return err.code == ERR_NO_SPACE ? RELEASE_NO_ROOM : 1;
}
