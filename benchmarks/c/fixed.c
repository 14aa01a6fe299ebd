/* The least that an HTTP server can do here: libmicrohttpd with an answer that never changes.
 *
 *     bench-fixed PORT THREADS SIZE
 *
 * serves until its standard input ends. */
#include <err.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONNECTIONS 12000u

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data, size_t *size,
                              void **state) {
    /* an answer at the first call, before the request is read, would close the connection */
    if (!*state) {
        *state = connection;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, cls);
}

int main(int argc, char **argv) {
    unsigned threads = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    size_t size = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    uint16_t port = argc == 4 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Response *response;
    struct MHD_Daemon *daemon;
    struct rlimit descriptors;
    char byte, *body;

    if (threads < 1 || port < 1)
        errx(2, "usage: bench-fixed PORT THREADS SIZE");
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
        descriptors.rlim_cur = descriptors.rlim_max;
        setrlimit(RLIMIT_NOFILE, &descriptors);
    }
    address.sin_port = htons(port);
    body = malloc(size + 1);
    if (!body)
        err(1, "malloc");
    memset(body, 'x', size);
    response = MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, 0, NULL, NULL, answer, response,
                              MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE, threads,
                              MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, MHD_OPTION_END);
    if (!daemon)
        err(1, "port %u", port);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    return 0;
}
