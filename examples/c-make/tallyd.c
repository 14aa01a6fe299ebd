/* tallyd PORT: counts the words of the path that is asked for, /a-wheel-a-jet say, over HTTP. */
#include "words.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_at(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0) {
        perror("tallyd");
        exit(1);
    }
    return fd;
}

/* Everything up to the empty line that ends the headers. */
static size_t read_request(int fd, char *text, size_t size) {
    size_t len = 0;
    ssize_t n;

    while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0) {
        len += (size_t)n;
        text[len] = 0;
        if (strstr(text, "\r\n\r\n"))
            break;
    }
    text[len] = 0;
    return len;
}

static void answer(int fd) {
    static char request[8192];
    char body[256], head[256];
    const char *path;
    size_t len;
    Words words;

    read_request(fd, request, sizeof(request));
    path = strchr(request, ' ');
    path = path ? path + 1 : "";
    len = strcspn(path, " \r\n");
    words_count(path, len, &words);
    snprintf(body, sizeof(body), "Hello from C: %zu words, longest: %s\n", words.count, words.longest);
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             strlen(body));
    if (write(fd, head, strlen(head)) > 0 && write(fd, body, strlen(body)) > 0)
        shutdown(fd, SHUT_WR);
}

int main(int argc, char **argv) {
    int server, client;

    if (argc != 2) {
        fprintf(stderr, "usage: tallyd PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    server = listen_at((int)strtol(argv[1], NULL, 10));
    printf("tallyd listens on %s\n", argv[1]);
    fflush(stdout);
    while ((client = accept(server, NULL, NULL)) >= 0) {
        answer(client);
        close(client);
    }
    return 1;
}
