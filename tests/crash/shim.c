/* Preloaded (LD_PRELOAD) into a server or a runner: fails the n-th write or fsync of a regular file from now
 * on, once. The harness says when by a file that both map, named in CRASH_SHIM; without it nothing happens.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

typedef struct Wish {
    _Atomic int64_t left; /* 1: the next one fails; 0: none */
    int64_t error;        /* errno */
    _Atomic int64_t hits;
} Wish;

/* Read and written by tests/crash/faults.py, native byte order. */
typedef enum What { WRITE, SYNC, WHATS } What;

static Wish *wishes;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("CRASH_SHIM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map =
        fd < 0 ? MAP_FAILED : mmap(NULL, WHATS * sizeof(Wish), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    if (map != MAP_FAILED)
        wishes = map;
}

static bool is_file(int fd) {
    struct stat st;

    return fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Whether this call is the one; errno is set then. */
static bool fails(What what, int fd) {
    Wish *wish = wishes ? wishes + what : NULL;
    int before = errno;

    if (!wish || atomic_load(&wish->left) <= 0 || !is_file(fd) || atomic_fetch_sub(&wish->left, 1) != 1) {
        errno = before;
        return false;
    }
    atomic_fetch_add(&wish->hits, 1);
    errno = (int)wish->error;
    return true;
}

#define REAL(result, name, ...)                                                                              \
    static result (*real)(__VA_ARGS__);                                                                      \
    if (!real)                                                                                               \
    real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t len) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return fails(WRITE, fd) ? -1 : real(fd, data, len);
}

/* pwrite is pwrite64's name for who compiled with 64-bit offsets; others, SQLite among them, may call either.
 */
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    return fails(WRITE, fd) ? -1 : real(fd, data, len, at);
}

ssize_t plain_pwrite(int fd, const void *data, size_t len, off_t at) __asm__("pwrite");

ssize_t plain_pwrite(int fd, const void *data, size_t len, off_t at) {
    return pwrite(fd, data, len, at);
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return fails(SYNC, fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return fails(SYNC, fd) ? -1 : real(fd);
}
