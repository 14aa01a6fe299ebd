#include "ingress/listen.h"

#include "base/str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

int listen_split(const char *listen, char *host, size_t size, int64_t *ret_port, Err *err) {
    const char *colon = listen ? strrchr(listen, ':') : NULL;
    unsigned char ignored[16];
    size_t len = colon ? (size_t)(colon - listen) : 0;

    if (!colon || len >= size || !str_to_i64(colon + 1, 0, 65535, ret_port))
        return err_set(err, ERR_INVALID, "ingress address \"%s\": expected ADDR:PORT", listen ? listen : "");
    snprintf(host, size, "%.*s", (int)len, listen);
    if (str_eq(host, "localhost"))
        snprintf(host, size, "127.0.0.1");
    if (host[0] == '[' && len > 2 && host[len - 1] == ']') {
        host[len - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, ignored) == 1) {
            host[len - 1] = ']';
            return 0;
        }
    } else if (inet_pton(AF_INET, host, ignored) == 1) {
        return 0;
    }
    return err_set(err, ERR_INVALID,
                   "ingress address \"%s\": expected a numeric address such as 127.0.0.1:8081", listen);
}

int listen_try(const char *host, int64_t port, int64_t *ret_port, Err *err) {
    bool six = host[0] == '[';
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr *address = six ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
    socklen_t len = six ? sizeof(a6) : sizeof(a4);
    char bare[64];
    int again = port != 0; /* a port whose connections only linger is free for HAProxy as well */
    _cleanup_close_ int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(host + six, "]"), host + six);
    inet_pton(six ? AF_INET6 : AF_INET, bare, six ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &again, sizeof(again)) < 0 ||
        bind(fd, address, len) < 0 || getsockname(fd, address, &len) < 0) {
        int why = errno;

        return err_set(err, ERR_UNAVAILABLE,
                       "applications cannot be served at %s:%d: %s; choose another address with "
                       "--ingress ADDR:PORT (port 0 takes a free one), or --ingress off to deploy nothing",
                       host, (int)port, strerror(why));
    }
    *ret_port = ntohs(six ? a6.sin6_port : a4.sin_port);
    return 0;
}
