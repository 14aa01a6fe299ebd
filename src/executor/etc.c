/* The /etc inside: copies, because a bind mount a file would cost each sandbox more than all the rest.
 * Refreshed in place, file by file, so that sandboxes that run see new files whole and keep the others. */
#include "executor/sandbox.h"

#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ETC_FILE_MAX (4u << 20)
#define ETC_DEPTH_MAX 6

/* What programs need to find names, time, certificates, libraries and their own configuration. Nothing that
 * may hold a password: no gitconfig, npmrc, pip.conf, ssh, ssl/private, apt. */
static const char *const etc_allowed[] = {
    "alternatives",    "ca-certificates", "ca-certificates.conf",
    "crypto-policies", "debian_version",  "fonts",
    "gai.conf",        "host.conf",       "hosts",
    "java-11-openjdk", "java-17-openjdk", "java-21-openjdk",
    "ld.so.cache",     "ld.so.conf",      "ld.so.conf.d",
    "locale.alias",    "localtime",       "lsb-release",
    "magic",           "magic.mime",      "maven/logging",
    "maven/m2.conf",   "mime.types",      "networks",
    "nsswitch.conf",   "os-release",      "perl",
    "pki/ca-trust",    "pki/tls/certs",   "protocols",
    "python3",         "python3.11",      "python3.12",
    "python3.13",      "resolv.conf",     "rpc",
    "services",        "shells",          "ssl/certs",
    "ssl/openssl.cnf", "terminfo",        "timezone",
};

static const char etc_passwd[] = "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
                                 "build:x:1000:1000:build:" SANDBOX_HOME ":/bin/sh\n"
                                 "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
static const char etc_group[] = "root:x:0:\nbuild:x:1000:\nnogroup:x:65534:\n";

/* Size and time of each allowed entry: when the text is the same, nothing has to be copied. */
static void signature(Buf *out) {
    struct stat st;
    char path[PATH_MAX];

    buf_adds(out, "pelton etc 1\n");
    for (size_t i = 0; i < ELEMENTS(etc_allowed); i++) {
        snprintf(path, sizeof(path), "/etc/%s", etc_allowed[i]);
        if (stat(path, &st) == 0)
            buf_addf(out, "%zu %lld.%09ld %lld\n", i, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                     (long long)st.st_size);
    }
}

static int put_file(const char *path, const void *data, size_t len, Err *err) {
    char beside[PATH_MAX], random[9];
    _cleanup_close_ int fd = -1;
    int r;

    id_random(random, 8);
    if (snprintf(beside, sizeof(beside), "%s.%s", path, random) >= (int)sizeof(beside))
        return err_set(err, ERR_INVALID, "%s: the path is too long", path);
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_errno(err, "create %s", beside);
    r = file_write_all(fd, data, len, err);
    if (r == 0 && (fchmod(fd, 0644) < 0 || rename(beside, path) < 0))
        r = err_errno(err, "write %s", path);
    if (r < 0)
        unlink(beside);
    return r;
}

static int put_link(const char *from, const char *to, Err *err) {
    char target[PATH_MAX], old[PATH_MAX];
    ssize_t len = readlink(from, target, sizeof(target) - 1), old_len;

    if (len < 0)
        return 0;
    target[len] = '\0';
    old_len = readlink(to, old, sizeof(old));
    if (old_len == len && memcmp(old, target, (size_t)len) == 0)
        return 0;
    if (old_len >= 0)
        unlink(to);
    if (symlink(target, to) < 0 && errno != EEXIST)
        return err_errno(err, "link %s", to);
    return 0;
}

static int copy_entry(const char *from, const char *to, int depth, Err *err);

static int copy_folder(const char *from, const char *to, int depth, Err *err) {
    char below_from[PATH_MAX], below_to[PATH_MAX];
    struct dirent *entry;
    DIR *dir = opendir(from);
    int r = 0;

    if (!dir)
        return 0;
    if (mkdir(to, 0755) < 0 && errno != EEXIST)
        r = err_errno(err, "create %s", to);
    while (r == 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(below_from, sizeof(below_from), "%s/%s", from, entry->d_name) <
                (int)sizeof(below_from) &&
            snprintf(below_to, sizeof(below_to), "%s/%s", to, entry->d_name) < (int)sizeof(below_to))
            r = copy_entry(below_from, below_to, depth + 1, err);
    }
    closedir(dir);
    return r;
}

/* A link out of /etc into what the sandbox does not have is replaced by what it points to (resolv.conf of
 * systemd). */
static bool link_stays(const char *path) {
    char real[PATH_MAX];

    return realpath(path, real) && (str_after(real, "/usr/") || str_after(real, "/etc/"));
}

static int copy_entry(const char *from, const char *to, int depth, Err *err) {
    _cleanup_buf_ Buf content = BUF_INIT;
    struct stat st;
    Err skipped;

    if (depth > ETC_DEPTH_MAX || lstat(from, &st) < 0)
        return 0;
    if (S_ISLNK(st.st_mode) && link_stays(from))
        return put_link(from, to, err);
    if (stat(from, &st) < 0)
        return 0;
    if (S_ISDIR(st.st_mode))
        return (st.st_mode & 0005) == 0005 ? copy_folder(from, to, depth, err) : 0;
    if (!S_ISREG(st.st_mode) || !(st.st_mode & S_IROTH) ||
        file_read(from, ETC_FILE_MAX, &content, &skipped) < 0)
        return 0;
    return put_file(to, buf_str(&content), content.len, err);
}

static int copy_allowed(const char *path, Err *err) {
    char from[PATH_MAX], to[PATH_MAX], *slash;
    int r = 0;

    for (size_t i = 0; r == 0 && i < ELEMENTS(etc_allowed); i++) {
        snprintf(from, sizeof(from), "/etc/%s", etc_allowed[i]);
        if (snprintf(to, sizeof(to), "%s/%s", path, etc_allowed[i]) >= (int)sizeof(to))
            return err_set(err, ERR_INVALID, "%s: the path is too long", path);
        if (access(from, F_OK) < 0)
            continue;
        slash = strrchr(to, '/');
        *slash = '\0';
        r = file_mkdirs(to, 0755, err);
        *slash = '/';
        if (r == 0)
            r = copy_entry(from, to, 0, err);
    }
    return r;
}

int sandbox_etc_make(const char *path, Err *err) {
    _cleanup_buf_ Buf now = BUF_INIT, before = BUF_INIT;
    char stamp[PATH_MAX], file[PATH_MAX];
    Err missing;
    int r;

    if (snprintf(stamp, sizeof(stamp), "%s/.stamp", path) >= (int)sizeof(stamp) - 16)
        return err_set(err, ERR_INVALID, "%s: the path is too long", path);
    signature(&now);
    if (file_read(stamp, 1 << 16, &before, &missing) == 0 && str_eq(buf_str(&before), buf_str(&now)))
        return 0;
    r = file_mkdirs(path, 0755, err);
    if (r == 0 && chmod(path, 0755) < 0)
        r = err_errno(err, "%s", path);
    if (r == 0)
        r = copy_allowed(path, err);
    snprintf(file, sizeof(file), "%s/passwd", path);
    if (r == 0)
        r = put_file(file, etc_passwd, sizeof(etc_passwd) - 1, err);
    snprintf(file, sizeof(file), "%s/group", path);
    if (r == 0)
        r = put_file(file, etc_group, sizeof(etc_group) - 1, err);
    if (r == 0)
        r = put_file(stamp, buf_str(&now), now.len, err);
    return r < 0 ? err_wrap(err, "make the sandbox's /etc") : 0;
}
