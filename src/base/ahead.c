#include "base/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#define PIECE ((size_t)256 * 1024)
#define PIECES 4

typedef struct Piece {
    ssize_t len;
    char bytes[PIECE];
} Piece;

struct Ahead {
    AheadFill fill;
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* with the lock: */
    size_t first, ready; /* pieces that are full */
    bool taken;          /* the first is with the reader */
    bool stop;
    Piece pieces[PIECES];
};

/* The place of the next piece; NULL: nobody wants it. */
static Piece *wait_for_room(Ahead *a) {
    Piece *room;

    pthread_mutex_lock(&a->lock);
    while (a->ready == PIECES && !a->stop)
        pthread_cond_wait(&a->changed, &a->lock);
    room = a->stop ? NULL : &a->pieces[(a->first + a->ready) % PIECES];
    pthread_mutex_unlock(&a->lock);
    return room;
}

static void *ahead_main(void *arg) {
    Ahead *a = arg;
    ssize_t len = 1;

    while (len > 0) {
        Piece *room = wait_for_room(a);

        if (!room)
            break;
        len = room->len = a->fill(a->arg, room->bytes, PIECE);
        pthread_mutex_lock(&a->lock);
        a->ready++;
        pthread_cond_signal(&a->changed);
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

static void ahead_free(Ahead *a) {
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    free(a);
}

int ahead_start(AheadFill fill, void *arg, Ahead **ret, Err *err) {
    Ahead *a = calloc(1, sizeof(*a));
    int r;

    if (!a)
        abort();
    a->fill = fill;
    a->arg = arg;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    r = pthread_create(&a->thread, NULL, ahead_main, a);
    if (r != 0) {
        ahead_free(a);
        errno = r;
        return err_errno(err, "start a thread");
    }
    *ret = a;
    return 0;
}

ssize_t ahead_next(Ahead *a, const void **ret) {
    Piece *first;

    pthread_mutex_lock(&a->lock);
    if (a->taken && a->pieces[a->first].len > 0) {
        a->first = (a->first + 1) % PIECES;
        a->ready--;
        pthread_cond_signal(&a->changed);
    }
    while (a->ready == 0)
        pthread_cond_wait(&a->changed, &a->lock);
    a->taken = true;
    first = &a->pieces[a->first];
    pthread_mutex_unlock(&a->lock);
    *ret = first->bytes;
    return first->len;
}

void ahead_stop(Ahead *a) {
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    ahead_free(a);
}
