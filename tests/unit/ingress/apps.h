/* Small applications and clients for the tests: threads of the test itself. */
#pragma once

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The accept is RFC 6455's example. Answers every request with its name and the request itself; "/wait" only
 * when the gate is opened; an Upgrade with 101 and an echo of what follows. */
typedef struct App {
    char name[64], address[32];
    int listener, port;
    pthread_t thread;
    atomic_int waiting; /* requests before the gate */
    atomic_int talks;   /* threads of open connections */
    int gate[2];
} App;

typedef struct AppTalk {
    App *app;
    int fd;
} AppTalk;

static inline bool app_read_head(int fd, char *out, size_t size) {
    size_t len = 0;

    while (len + 1 < size) {
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);

        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = '\0';
        if (strstr(out, "\r\n\r\n"))
            return true;
    }
    return false;
}

static inline void app_send(int fd, const char *text) {
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static inline void app_echo(int fd) {
    char data[256];
    ssize_t n;

    app_send(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    while ((n = recv(fd, data, sizeof(data), 0)) > 0)
        if (send(fd, data, (size_t)n, MSG_NOSIGNAL) < 0)
            break;
}

static inline void *app_talk(void *arg) {
    AppTalk *talk = arg;
    char request[8192], answer[10000];
    char byte;

    if (app_read_head(talk->fd, request, sizeof(request))) {
        if (strstr(request, " /wait ")) {
            talk->app->waiting++;
            if (read(talk->app->gate[0], &byte, 1) < 0)
                abort();
        }
        if (strcasestr(request, "upgrade: websocket")) {
            app_echo(talk->fd);
        } else {
            snprintf(answer, sizeof(answer),
                     "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s\n%s",
                     strlen(request) + strlen(talk->app->name) + 1, talk->app->name, request);
            app_send(talk->fd, answer);
        }
    }
    close(talk->fd);
    talk->app->talks--;
    free(talk);
    return NULL;
}

static inline void *app_serve(void *arg) {
    App *app = arg;
    int fd;

    while ((fd = accept4(app->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        AppTalk *talk = malloc(sizeof(*talk));
        pthread_t thread;

        *talk = (AppTalk){app, fd};
        app->talks++;
        if (pthread_create(&thread, NULL, app_talk, talk) != 0)
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

static inline App *app_start(const char *name) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    App *app = calloc(1, sizeof(*app));

    snprintf(app->name, sizeof(app->name), "%s", name);
    app->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (app->listener < 0 || bind(app->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(app->listener, 1024) < 0 || getsockname(app->listener, (struct sockaddr *)&a, &len) < 0 ||
        pipe(app->gate) < 0)
        abort();
    app->port = ntohs(a.sin_port);
    snprintf(app->address, sizeof(app->address), "127.0.0.1:%d", app->port);
    if (pthread_create(&app->thread, NULL, app_serve, app) != 0)
        abort();
    return app;
}

static inline void app_open_gate(App *app) {
    if (write(app->gate[1], "x", 1) != 1)
        abort();
}

/* Waits for its last talk to end. */
static inline void app_stop(App *app) {
    shutdown(app->listener, SHUT_RDWR);
    pthread_join(app->thread, NULL);
    while (app->talks > 0)
        sched_yield();
    close(app->listener);
    close(app->gate[0]);
    close(app->gate[1]);
    free(app);
}

/* ---- clients ---- */

static inline int client_dial(const char *address) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    const char *port = strrchr(address, ':');
    struct timeval limit = {.tv_sec = 20};
    char host[32];
    int fd;

    snprintf(host, sizeof(host), "%.*s", (int)(port - address), address);
    inet_pton(AF_INET, host, &a.sin_addr);
    a.sin_port = htons((uint16_t)strtol(port + 1, NULL, 10));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One request on an open connection; gives the status, 0 when there was no whole answer. body: what came
 * after the head. */
static inline int client_ask(int fd, const char *method, const char *host, const char *path, const char *more,
                             char *out, size_t size) {
    size_t len = 0, want;
    char *body, *length;
    char request[1024];

    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, path, host, more);
    app_send(fd, request);
    do {
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);

        if (n <= 0)
            return 0;
        len += (size_t)n;
        out[len] = '\0';
        body = strstr(out, "\r\n\r\n");
        length = strcasestr(out, "content-length: ");
        want = body && length ? (size_t)(body + 4 - out) + strtoul(length + 16, NULL, 10) : size;
    } while (!body || (length && len < want));
    return (int)strtol(out + strlen("HTTP/1.1 "), NULL, 10);
}

static inline int client_get(const char *address, const char *host, const char *path, char *out,
                             size_t size) {
    int fd = client_dial(address), status;

    if (fd < 0)
        return -1;
    status = client_ask(fd, "GET", host, path, "", out, size);
    close(fd);
    return status;
}

/* Asks again and again until stopped, on one connection or a new one each time; counts what is not 200. */
typedef struct Load {
    const char *address, *host, *method;
    bool keep_alive;
    atomic_bool stop;
    atomic_int asked, failed;
    char first_failure[1024];
    pthread_t thread;
} Load;

static inline bool client_told_to_close(const char *answer) {
    const char *end = strstr(answer, "\r\n\r\n"), *close = strcasestr(answer, "\r\nconnection: close");

    return end && close && close < end;
}

static inline void *load_run(void *arg) {
    Load *load = arg;
    char answer[16384];
    int fd = -1;

    while (!load->stop) {
        int status;

        if (fd < 0)
            fd = client_dial(load->address);
        answer[0] = '\0';
        status = client_ask(fd, load->method, load->host, "/",
                            load->method[0] == 'P' ? "Content-Length: 0\r\n" : "", answer, sizeof(answer));
        if (status != 200 && load->failed++ == 0)
            snprintf(load->first_failure, sizeof(load->first_failure), "%d: %.900s", status, answer);
        load->asked++;
        if (!load->keep_alive || status != 200 || client_told_to_close(answer)) {
            close(fd);
            fd = -1;
        }
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static inline void load_start(Load *load, const char *address, const char *host, const char *method,
                              bool keep_alive) {
    memset(load, 0, sizeof(*load));
    load->address = address;
    load->host = host;
    load->method = method;
    load->keep_alive = keep_alive;
    if (pthread_create(&load->thread, NULL, load_run, load) != 0)
        abort();
}

static inline void load_stop(Load *load) {
    load->stop = true;
    pthread_join(load->thread, NULL);
}
