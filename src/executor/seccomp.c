/* The filter of a sandbox: everything is allowed but what has no business in a build and has been the way out
 * of containers (the deny list follows Docker's default profile). libseccomp is loaded only to compile it: no
 * other process of ours pays for it. */
#include "executor/sandbox.h"

#include "base/mem.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const char *const denied[] = {
    /* file systems and name spaces */
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "setns",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "open_by_handle_at",
    "quotactl",
    "quotactl_fd",
    "swapon",
    "swapoff",
    /* keys, tracing of the kernel, memory of others' faults */
    "add_key",
    "keyctl",
    "request_key",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "lookup_dcookie",
    "syslog",
    /* the machine itself */
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "create_module",
    "delete_module",
    "query_module",
    "get_kernel_syms",
    "reboot",
    "acct",
    "iopl",
    "ioperm",
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_settime64",
    "nfsservctl",
    "_sysctl",
    "sysfs",
    "uselib",
    "ustat",
    "vm86",
    "vm86old",
    "vhangup",
};

typedef struct Lib {
    void *handle;
    scmp_filter_ctx (*init)(uint32_t);
    void (*release)(scmp_filter_ctx);
    int (*arch_add)(scmp_filter_ctx, uint32_t);
    int (*resolve)(const char *);
    int (*rule)(scmp_filter_ctx, uint32_t, int, unsigned, const struct scmp_arg_cmp *);
    int (*export_bpf)(scmp_filter_ctx, int);
} Lib;

static int lib_load(Lib *lib, Err *err) {
    struct {
        const char *name;
        void *place;
    } wanted[] = {
        {"seccomp_init", &lib->init},           {"seccomp_release", &lib->release},
        {"seccomp_arch_add", &lib->arch_add},   {"seccomp_syscall_resolve_name", &lib->resolve},
        {"seccomp_rule_add_array", &lib->rule}, {"seccomp_export_bpf", &lib->export_bpf},
    };

    lib->handle = dlopen("libseccomp.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle)
        return err_set(err, ERR_UNSUPPORTED, "libseccomp.so.2 is missing; install the package libseccomp2");
    for (size_t i = 0; i < ELEMENTS(wanted); i++) {
        *(void **)wanted[i].place = dlsym(lib->handle, wanted[i].name);
        if (!*(void **)wanted[i].place)
            return err_set(err, ERR_UNSUPPORTED, "libseccomp.so.2 has no %s", wanted[i].name);
    }
    return 0;
}

static int deny(const Lib *lib, scmp_filter_ctx ctx, const char *name, uint32_t error, unsigned count,
                const struct scmp_arg_cmp *cmp) {
    int number = lib->resolve(name);

    /* a name that this library does not know is a call that it cannot filter, and the kernel may not have */
    return number == __NR_SCMP_ERROR ? 0 : lib->rule(ctx, SCMP_ACT_ERRNO(error), number, count, cmp);
}

/* New user name spaces give capabilities over kernel code that is rarely reached otherwise. clone3 hides its
 * flags in memory, where a filter cannot look: ENOSYS makes the C library use clone. The kernel compares the
 * low 32 bits of an ioctl only, so the filter has to (CVE-2019-10063). */
static int deny_by_argument(const Lib *lib, scmp_filter_ctx ctx) {
    struct scmp_arg_cmp new_user = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER);
    struct scmp_arg_cmp sti = SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI);
    struct scmp_arg_cmp tiocl = SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCLINUX);
    struct scmp_arg_cmp vsock = SCMP_A0(SCMP_CMP_EQ, AF_VSOCK);
    int r;

    r = deny(lib, ctx, "clone", EPERM, 1, &new_user);
    if (r == 0)
        r = deny(lib, ctx, "unshare", EPERM, 1, &new_user);
    if (r == 0)
        r = deny(lib, ctx, "clone3", ENOSYS, 0, NULL);
    if (r == 0)
        r = deny(lib, ctx, "ioctl", EPERM, 1, &sti);
    if (r == 0)
        r = deny(lib, ctx, "ioctl", EPERM, 1, &tiocl);
    if (r == 0)
        r = deny(lib, ctx, "socket", EPERM, 1, &vsock);
    return r;
}

static int fill(const Lib *lib, scmp_filter_ctx ctx) {
    int r = 0;

#if defined(__x86_64__)
    /* the other ways into the same kernel */
    r = lib->arch_add(ctx, SCMP_ARCH_X86);
    if (r == 0 || r == -EEXIST)
        r = lib->arch_add(ctx, SCMP_ARCH_X32);
    if (r == -EEXIST)
        r = 0;
#endif
    for (size_t i = 0; r == 0 && i < ELEMENTS(denied); i++)
        r = deny(lib, ctx, denied[i], EPERM, 0, NULL);
    return r == 0 ? deny_by_argument(lib, ctx) : r;
}

static int compile(int *ret_fd, Err *err) {
    _cleanup_close_ int fd = memfd_create("pelton-seccomp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    Lib lib = {0};
    scmp_filter_ctx ctx = NULL;
    int r, failed;

    if (fd < 0)
        return err_errno(err, "memfd_create");
    r = lib_load(&lib, err);
    if (r == 0) {
        ctx = lib.init(SCMP_ACT_ALLOW);
        failed = ctx ? fill(&lib, ctx) : -ENOMEM;
        if (failed == 0)
            failed = lib.export_bpf(ctx, fd);
        if (failed < 0) {
            errno = -failed;
            r = err_errno(err, "compile the seccomp filter");
        }
    }
    if (ctx)
        lib.release(ctx);
    if (lib.handle)
        dlclose(lib.handle);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return err_errno(err, "seal the seccomp filter");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int filter = -1;

int sandbox_seccomp_kept(void) {
    return filter;
}

int sandbox_seccomp_open(int *ret_fd, Err *err) {
    char path[64];
    int fd, r = 0;

    pthread_mutex_lock(&lock);
    if (filter < 0)
        r = compile(&filter, err);
    pthread_mutex_unlock(&lock);
    if (r < 0)
        return r;
    /* through /proc, for a file position of its own */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", filter);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open the seccomp filter");
    *ret_fd = fd;
    return 0;
}
